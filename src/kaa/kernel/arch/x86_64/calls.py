# SPDX-License-Identifier: Apache-2.0
"""System calls that only this processor has: arch_prctl(2); and those that stay refused: iopl, ioperm, modify_ldt."""

from __future__ import annotations

import errno

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch.x86_64 import context, percpu, user
from kaa.kernel.mm.user import UserPtr
from kaa.lang import i32, i64, u32, u64

ARCH_SET_GS, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS = 0x1001, 0x1002, 0x1003, 0x1004
ARCH_GET_CPUID, ARCH_SET_CPUID = 0x1011, 0x1012


@syscall(x86_64=158)
def arch_prctl(option: i32, address: u64) -> i64:
    """arch_prctl(2): set or get the fs and gs bases. A base beyond user space is EPERM; other options are EINVAL."""
    task = percpu.current()
    match option:
        case 0x1002:
            if address >= user.USER_END:
                raise OSError(errno.EPERM)
            context.set_tls(task, address)
        case 0x1001:
            if address >= user.USER_END:
                raise OSError(errno.EPERM)
            context.set_gs(task, address)
        case 0x1003:
            UserPtr[u64](address).write(task.context.fs_base)
        case 0x1004:
            UserPtr[u64](address).write(task.context.gs_base)
        case 0x1011:
            return i64(1)
        case 0x1012:
            raise OSError(errno.ENODEV)
        case _:
            raise OSError(errno.EINVAL)
    return i64(0)


@syscall(x86_64=172)
def iopl(level: u32) -> None:
    """iopl(2): levels above 3 are EINVAL; user programs get no I/O ports: EPERM for any level but 0."""
    if level > 3:
        raise OSError(errno.EINVAL)
    if level != 0:
        raise OSError(errno.EPERM)


@syscall(x86_64=173)
def ioperm(first: u64, count: u64, on: i32) -> None:
    """ioperm(2): a range beyond 65536 is EINVAL; granting is EPERM, taking away what nobody has succeeds."""
    if first > 65536 or count > 65536 or first + count > 65536:
        raise OSError(errno.EINVAL)
    if on != 0:
        raise OSError(errno.EPERM)
