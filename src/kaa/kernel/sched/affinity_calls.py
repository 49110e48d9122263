# SPDX-License-Identifier: Apache-2.0
"""sched_setaffinity(2), sched_getaffinity(2): which processors a thread may use."""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.kernel.process.credentials import Capability
from kaa.kernel.process.task import Task
from kaa.kernel.sched import calls, cpu, moving, policy
from kaa.lang import Array, as_bytes, i32, u32, u64, usize

MASK_BYTES: Final = 8
"""Size of the kernel's own set of processors."""


def _find(pid: i32) -> Task:
    """The thread by id, 0 the caller. Raises ProcessLookupError, for negative numbers too."""
    if pid < 0:
        raise ProcessLookupError
    return calls.find_thread(pid)


@syscall(x86_64=204, arm64=123)
def sched_getaffinity(pid: i32, size: u32, mask: u64) -> i32:
    """sched_getaffinity(2): the running processors that a thread may use. Gives the size of the kernel's own mask."""
    if (size & 7) != 0 or u64(size) * 8 < u64(machine.smp.count()):
        raise OSError(errno.EINVAL)
    task = _find(pid)
    UserPtr[u64](mask).write(task.allowed & cpu.all.active.load())
    return i32(MASK_BYTES)


@syscall(x86_64=203, arm64=122)
def sched_setaffinity(pid: i32, size: u32, mask: u64) -> None:
    """sched_setaffinity(2): back when the thread runs on none of the others any more. EINVAL when no processor that
    runs is among them."""
    word = Array[u64, 1]()
    n = usize(min(size, u32(MASK_BYTES)))
    UserBuf(mask, n).copy_in(as_bytes(word)[0:n])
    task = _find(pid)
    if not policy.is_own(task) and not machine.percpu.current().credentials.capable(u32(Capability.CAP_SYS_NICE)):
        raise OSError(errno.EPERM)
    wanted = word[0] & cpu.all.active.load()
    if wanted == 0:
        raise OSError(errno.EINVAL)
    moving.set_allowed(task, wanted)
