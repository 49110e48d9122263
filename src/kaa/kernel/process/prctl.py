# SPDX-License-Identifier: Apache-2.0
"""prctl(2): odds and ends of a process or thread. Operations not listed here are refused (EINVAL)."""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.prctl import (
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_IS_SET,
    PR_CAP_AMBIENT_LOWER,
    PR_CAP_AMBIENT_RAISE,
    PrctlOp,
)
from kaa.kernel.abi.signal import SIGNAL_COUNT
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.kernel.process import foreign, reparent
from kaa.kernel.process.credentials import (
    LAST_CAPABILITY,
    SECURE_KEEP_CAPS,
    SECURE_KNOWN,
    SECURE_LOCKS,
    SECURE_NO_AMBIENT_RAISE,
    Capability,
    Credentials,
)
from kaa.kernel.process.group import SUBREAPER
from kaa.kernel.process.task import COMM_LENGTH, Task, program_name
from kaa.lang import Array, i32, i64, u8, u32, u64, usize

DEFAULT_SLACK: Final = 50_000


@syscall(x86_64=157, arm64=167)
def prctl(operation: i32, a: u64, b: u64, c: u64, d: u64) -> i64:
    """prctl(2): read or change one of many small things."""
    task = machine.percpu.current()
    match operation:
        case PrctlOp.PR_SET_NAME:
            return _set_name(task, a)
        case PrctlOp.PR_GET_NAME:
            called = program_name(task)
            UserBuf(a, COMM_LENGTH).copy_out(called.padded[:])
            return i64(0)
        case PrctlOp.PR_SET_PDEATHSIG:
            if a > SIGNAL_COUNT:
                raise OSError(errno.EINVAL)
            task.parent_death_signal = i32(a)
            return i64(0)
        case PrctlOp.PR_GET_PDEATHSIG:
            UserPtr[i32](a).write(task.parent_death_signal)
            return i64(0)
        case PrctlOp.PR_SET_CHILD_SUBREAPER:
            return _set_subreaper(task, a != 0)
        case PrctlOp.PR_GET_CHILD_SUBREAPER:
            UserPtr[i32](a).write(i32(1 if (task.group.flags.load_relaxed() & SUBREAPER) != 0 else 0))
            return i64(0)
        case PrctlOp.PR_SET_NO_NEW_PRIVS:
            if a != 1 or (b | c | d) != 0:
                raise OSError(errno.EINVAL)
            task.no_new_privileges = True
            return i64(0)
        case PrctlOp.PR_GET_NO_NEW_PRIVS:
            if (a | b | c | d) != 0:
                raise OSError(errno.EINVAL)
            return i64(1 if task.no_new_privileges else 0)
        case PrctlOp.PR_GET_TID_ADDRESS:
            UserPtr[u64](a).write(task.clear_child_tid)
            return i64(0)
        case _:
            return _settings(task, operation, a, b, c, d)


def _set_name(task: Task, address: u64) -> i64:
    """Up to fifteen bytes; a name at the very end of its page is read byte by byte."""
    name = Array[u8, 16]()
    length: usize = 0
    buf = UserBuf(address, COMM_LENGTH - 1)
    while length < COMM_LENGTH - 1:
        buf.copy_in(name[length : length + 1])
        if name[length] == 0:
            break
        length += 1
    task.set_name(name[0:length])
    return i64(0)


def _set_subreaper(task: Task, value: bool) -> i64:
    if value:
        task.group.flags.fetch_or(SUBREAPER)
        reparent.subreapers.any.store(True)
    else:
        task.group.flags.fetch_and(~u32(SUBREAPER))
    return i64(0)


def _settings(task: Task, operation: i32, a: u64, b: u64, c: u64, d: u64) -> i64:
    match operation:
        case PrctlOp.PR_GET_DUMPABLE:
            return i64(1)
        case PrctlOp.PR_SET_DUMPABLE:
            if a > 1:
                raise OSError(errno.EINVAL)
            return i64(0)
        case PrctlOp.PR_GET_TIMERSLACK:
            return i64(task.timer_slack)
        case PrctlOp.PR_SET_TIMERSLACK:
            task.timer_slack = u64(DEFAULT_SLACK) if i64(a) <= 0 else a
            return i64(0)
        case PrctlOp.PR_GET_TIMING:
            return i64(0)
        case PrctlOp.PR_SET_TIMING:
            if a != 0:
                raise OSError(errno.EINVAL)
            return i64(0)
        case PrctlOp.PR_GET_SECCOMP:
            raise OSError(errno.EINVAL)
        case PrctlOp.PR_GET_THP_DISABLE:
            if (a | b | c | d) != 0:
                raise OSError(errno.EINVAL)
            return i64(1)
        case PrctlOp.PR_SET_THP_DISABLE:
            if (b | c | d) != 0:
                raise OSError(errno.EINVAL)
            return i64(0)
        case _:
            return _capabilities(task, operation, a, b, c, d)


def _capabilities(task: Task, operation: i32, a: u64, b: u64, c: u64, d: u64) -> i64:
    who = task.credentials
    match operation:
        case PrctlOp.PR_GET_KEEPCAPS:
            return i64(1 if (who.securebits & SECURE_KEEP_CAPS) != 0 else 0)
        case PrctlOp.PR_SET_KEEPCAPS:
            if a > 1:
                raise OSError(errno.EINVAL)
            bits = (who.securebits & ~u32(SECURE_KEEP_CAPS)) | (u32(SECURE_KEEP_CAPS) if a != 0 else u32(0))
            return _set_securebits(task, bits)
        case PrctlOp.PR_GET_SECUREBITS:
            return i64(who.securebits)
        case PrctlOp.PR_SET_SECUREBITS:
            locked = (who.securebits & SECURE_LOCKS) >> 1
            if (a & ~u64(SECURE_KNOWN)) != 0 or ((who.securebits ^ u32(a)) & (locked | locked << 1)) != 0:
                raise OSError(errno.EPERM)
            if not who.capable(u32(Capability.CAP_SETPCAP)):
                raise OSError(errno.EPERM)
            return _set_securebits(task, u32(a))
        case PrctlOp.PR_CAPBSET_READ:
            _check_capability(a)
            return i64((who.bounding >> a) & 1)
        case PrctlOp.PR_CAPBSET_DROP:
            return _drop_bounding(task, a)
        case PrctlOp.PR_CAP_AMBIENT:
            if (c | d) != 0:
                raise OSError(errno.EINVAL)
            return _ambient(task, a, b)
        case _:
            raise OSError(errno.EINVAL)


def _check_capability(number: u64) -> None:
    if number > LAST_CAPABILITY:
        raise OSError(errno.EINVAL)


def _set_securebits(task: Task, bits: u32) -> i64:
    new = task.credentials.copy()
    new.securebits = bits
    foreign.replace_credentials(task, new)
    return i64(0)


def _drop_bounding(task: Task, number: u64) -> i64:
    if not task.credentials.capable(u32(Capability.CAP_SETPCAP)):
        raise OSError(errno.EPERM)
    _check_capability(number)
    new = task.credentials.copy()
    new.bounding &= ~(u64(1) << number)
    foreign.replace_credentials(task, new)
    return i64(0)


def _ambient(task: Task, operation: u64, number: u64) -> i64:
    who = task.credentials
    if operation == PR_CAP_AMBIENT_CLEAR_ALL:
        if number != 0:
            raise OSError(errno.EINVAL)
        return _set_ambient(task, u64(0))
    _check_capability(number)
    bit = u64(1) << number
    if operation == PR_CAP_AMBIENT_IS_SET:
        return i64(1 if (who.ambient & bit) != 0 else 0)
    if operation == PR_CAP_AMBIENT_LOWER:
        return _set_ambient(task, who.ambient & ~bit)
    if operation != PR_CAP_AMBIENT_RAISE:
        raise OSError(errno.EINVAL)
    if not _may_raise(who, bit):
        raise OSError(errno.EPERM)
    return _set_ambient(task, who.ambient | bit)


def _may_raise(who: Credentials, bit: u64) -> bool:
    if (who.securebits & SECURE_NO_AMBIENT_RAISE) != 0:
        return False
    return (who.permitted & who.inheritable & bit) != 0


def _set_ambient(task: Task, ambient: u64) -> i64:
    new = task.credentials.copy()
    new.ambient = ambient
    foreign.replace_credentials(task, new)
    return i64(0)
