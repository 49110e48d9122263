# SPDX-License-Identifier: Apache-2.0
"""Looking tasks and processes up by number, and the calls that tell a thread its own numbers. No lock is taken: the
table is read under RCU (pid.py)."""

from __future__ import annotations

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.locking import rcu
from kaa.kernel.process import pid as pids
from kaa.kernel.process.group import ThreadGroup
from kaa.kernel.process.task import Task
from kaa.lang import i32, u64


def find_task(number: i32) -> Task | None:
    """The thread with this id; also one that is a zombie."""
    with rcu.read():
        pid = pids.table.find(number)
        return None if pid is None else pid.task


def next_task(after: i32) -> Task | None:
    """The thread with the smallest id above `after`: a walk over all that needs no lock between steps."""
    number = max(after, i32(0)) + 1 if after < pids.PID_MAX else i32(pids.PID_MAX)
    while True:
        with rcu.read():
            number = pids.table.next_in_use(number)
            pid = pids.table.find(number)
            task = None if pid is None else pid.task
        if task is not None or number >= pids.PID_MAX:
            return task
        number += 1


def next_process(after: i32) -> ThreadGroup | None:
    """The process with the smallest id above `after`."""
    task = next_task(after)
    while task is not None and task.tgid != task.pid:
        task = next_task(task.pid)
    return None if task is None else task.group


@syscall(x86_64=39, arm64=172)
def getpid() -> i32:
    """getpid(2): the caller's process id."""
    return machine.percpu.current().tgid


@syscall(x86_64=186, arm64=178)
def gettid() -> i32:
    """gettid(2): the caller's thread id."""
    return machine.percpu.current().pid


@syscall(x86_64=110, arm64=173)
def getppid() -> i32:
    """getppid(2): the id of the caller's parent process; 0 when it has none."""
    return machine.percpu.current().group.parent_id


@syscall(x86_64=218, arm64=96)
def set_tid_address(address: u64) -> i32:
    """set_tid_address(2): where to put 0 and wake a futex when the caller ends; gives the caller's thread id."""
    task = machine.percpu.current()
    task.clear_child_tid = address
    return task.pid
