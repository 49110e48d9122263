# SPDX-License-Identifier: Apache-2.0
"""execve(2) in a process of several threads: all others end first, and the caller becomes the leader with the
process's id."""

from __future__ import annotations

from kaa.kernel.abi.restart import RestartAlways
from kaa.kernel.process import pid as pids
from kaa.kernel.process import tree
from kaa.kernel.process.exit import kill_threads
from kaa.kernel.process.group import ThreadGroup
from kaa.kernel.process.task import DYING, Task
from kaa.kernel.sched import core
from kaa.kernel.signal import must_die, stop
from kaa.lang import u64


def be_alone(task: Task) -> None:
    """End every other thread of the caller's process and wait until they are gone. Raises RestartAlways when the
    process is itself ending, or another thread was first to exec."""
    group = task.group
    with tree.lock:
        with group.signal_lock:
            if group.group_exit.load_relaxed() or group.is_execing or (task.flags.load() & DYING) != 0:
                raise RestartAlways
            group.exec_task = task
            group.is_execing = True
            stop.cancel(group)
            kill_threads(group, task)
    alone = _wait_for_others(task, group)
    with tree.lock:
        with group.signal_lock:
            group.exec_task = None
            group.is_execing = False
            if not alone:
                raise RestartAlways
            if not task.is_leader():
                _take_over(task, group)
            group.leader_done = False


def _others(task: Task, group: ThreadGroup) -> u64:
    """Threads that have not finished, apart from the caller. A dead leader still stands in the list."""
    count = u64(group.thread_count) - 1
    if not task.is_leader() and group.leader_done:
        count -= 1
    return count


def _wait_for_others(task: Task, group: ThreadGroup) -> bool:
    """Sleep until they are gone; False when the whole process is killed meanwhile."""
    while True:
        core.set_state(task, u64(core.KILLABLE))
        with tree.lock:
            done = _others(task, group) == 0
        if done or must_die(task):
            break
        core.schedule()
    core.set_state(task, u64(core.RUNNING))
    return done


def _take_over(task: Task, group: ThreadGroup) -> None:
    """The dead leader's place and number become the caller's, whose own number is free. Under both locks."""
    old = group.leader
    assert old is not None
    tree.remove_thread(group, task)
    tree.remove_thread(group, old)
    tree.add_thread(group, task)
    group.leader = task
    mine = task.identity
    mine.task = None
    mine.tell_watchers()
    pids.table.free_if_unused(mine)
    task.identity = old.identity
    task.identity.task = task
    task.pid = group.tgid
    task.tgid = group.tgid
    task.exit_signal = old.exit_signal
