# SPDX-License-Identifier: Apache-2.0
"""getpriority(2), setpriority(2): nice values of threads, process groups and users."""

from __future__ import annotations

import errno
from typing import Final, cast

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.process import foreign, ids
from kaa.kernel.process.credentials import Capability
from kaa.kernel.process.task import Task
from kaa.kernel.sched import policy
from kaa.lang import i32, u32

PRIO_PROCESS: Final = 0
PRIO_PGRP: Final = 1
PRIO_USER: Final = 2


def belongs(task: Task, which: i32, who: i32) -> bool:
    """Whether a task is meant by setpriority's pair."""
    if which == PRIO_PGRP:
        wanted = machine.percpu.current().group.group_id if who == 0 else who
        return task.group.group_id == wanted
    wanted_user = machine.percpu.current().credentials.uid if who == 0 else u32(who)
    return foreign.user_of(task) == wanted_user


def single(who: i32) -> Task:
    """The thread by id, 0 the caller. Raises ProcessLookupError."""
    if who == 0:
        return machine.percpu.current()
    task = ids.find_task(who)
    if task is None:
        raise ProcessLookupError
    return task


@syscall(x86_64=140, arm64=141)
def getpriority(which: i32, who: i32) -> i32:
    """getpriority(2): 20 minus the lowest nice value, so that no result is negative."""
    if which < PRIO_PROCESS or which > PRIO_USER:
        raise OSError(errno.EINVAL)
    if which == PRIO_PROCESS:
        return 20 - single(who).nice
    best: i32 = 0
    task = ids.next_task(i32(0))
    while task is not None:
        if belongs(task, which, who):
            best = max(best, 20 - task.nice)
        task = ids.next_task(task.pid)
    if best == 0:
        raise ProcessLookupError
    return best


@syscall(x86_64=141, arm64=140)
def setpriority(which: i32, who: i32, nice: i32) -> None:
    """setpriority(2): nice values of a thread, a process group or a user."""
    if which < PRIO_PROCESS or which > PRIO_USER:
        raise OSError(errno.EINVAL)
    value = max(i32(-20), min(i32(19), nice))
    if which == PRIO_PROCESS:
        _set_one(single(who), value)
        return
    error = errno.ESRCH
    task = ids.next_task(i32(0))
    while task is not None:
        if belongs(task, which, who):
            error = _outcome(task, value, error)
        task = ids.next_task(task.pid)
    if error != 0:
        raise OSError(error)


def _outcome(task: Task, value: i32, error: i32) -> i32:
    """Set one of many. A failure does not keep the others from being set, and is what the call ends with."""
    try:
        _set_one(task, value)
    except OSError as failure:
        return i32(cast(int, failure.errno))
    return i32(0) if error == errno.ESRCH else error


def _set_one(task: Task, nice: i32) -> None:
    """Raises PermissionError for another user's task, OSError(EACCES) for a better value than RLIMIT_NICE allows."""
    me = machine.percpu.current().credentials
    capable = me.capable(u32(Capability.CAP_SYS_NICE))
    theirs = foreign.credentials_of(task)
    if not capable and me.euid != theirs.uid and me.euid != theirs.euid:
        raise OSError(errno.EPERM)
    if nice < task.nice and not capable and not policy.nice_allowed(task, nice):
        raise OSError(errno.EACCES)
    policy.set_nice(task, nice)
