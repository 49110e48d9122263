# SPDX-License-Identifier: Apache-2.0
"""ioprio_get(2), ioprio_set(2). The value is kept and inherited; no device here has a queue that would look at it."""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.process import ids
from kaa.kernel.process.credentials import Capability
from kaa.kernel.process.task import Task
from kaa.kernel.sched import policy
from kaa.kernel.sched.priority_calls import belongs, single
from kaa.lang import i32, u32

WHO_PROCESS: Final = 1
WHO_USER: Final = 3
CLASS_SHIFT: Final = 13
CLASS_NONE: Final = 0
CLASS_REAL_TIME: Final = 1
CLASS_IDLE: Final = 3
LEVELS: Final = 8
ORDINARY: Final = 2 << CLASS_SHIFT | 4
"""What a thread counts as that has none of its own (best effort, 4), beside others."""


@syscall(x86_64=252, arm64=31)
def ioprio_get(which: i32, who: i32) -> i32:
    """ioprio_get(2): of several threads, the highest priority."""
    _check_which(which)
    if which == WHO_PROCESS:
        return i32(single(who).io_priority)
    best: u32 = u32(CLASS_IDLE + 1) << CLASS_SHIFT
    task = ids.next_task(i32(0))
    while task is not None:
        if belongs(task, which - 1, who):
            own = task.io_priority
            best = min(best, own if own != 0 else u32(ORDINARY))
        task = ids.next_task(task.pid)
    if best >> CLASS_SHIFT > CLASS_IDLE:
        raise ProcessLookupError
    return i32(best)


@syscall(x86_64=251, arm64=30)
def ioprio_set(which: i32, who: i32, value: i32) -> None:
    """ioprio_set(2). The real-time class needs CAP_SYS_NICE."""
    _check_value(u32(value))
    _check_which(which)
    if which == WHO_PROCESS:
        _set_one(single(who), u32(value))
        return
    found = False
    task = ids.next_task(i32(0))
    while task is not None:
        if belongs(task, which - 1, who):
            found = True
            _set_one(task, u32(value))
        task = ids.next_task(task.pid)
    if not found:
        raise ProcessLookupError


def _check_which(which: i32) -> None:
    if which < WHO_PROCESS or which > WHO_USER:
        raise OSError(errno.EINVAL)


def _check_value(value: u32) -> None:
    kind = value >> CLASS_SHIFT
    level = value & ((1 << CLASS_SHIFT) - 1)
    if kind > CLASS_IDLE or level >= LEVELS or (kind == CLASS_NONE and level != 0):
        raise OSError(errno.EINVAL)
    if kind == CLASS_REAL_TIME and not _capable():
        raise OSError(errno.EPERM)


def _capable() -> bool:
    return machine.percpu.current().credentials.capable(u32(Capability.CAP_SYS_NICE))


def _set_one(task: Task, value: u32) -> None:
    if not policy.is_own(task) and not _capable():
        raise OSError(errno.EPERM)
    task.io_priority = value
