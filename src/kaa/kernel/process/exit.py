# SPDX-License-Identifier: Apache-2.0
"""How a thread, and with its last thread a process, ends (exit(2), exit_group(2)).

Order matters: first everything that needs the thread's memory (robust futexes, the word at clear_child_tid), then
memory and files are given up, while the thread may still sleep; then, under `tree.lock`, its place in the tree; then
the last switch. What a `Task` still holds after that is dropped with interrupts off, so it must be nothing whose end
may sleep.
"""

from __future__ import annotations

from typing import NoReturn

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.drivers.tty import job_control
from kaa.kernel.locking import rcu
from kaa.kernel.mm import fault_injection
from kaa.kernel.process import accounting, foreign, fork, notify, reparent, tree, unsharing
from kaa.kernel.process import pid as pids
from kaa.kernel.process.group import REAPED, ZOMBIE, ThreadGroup
from kaa.kernel.process.pid import Pid
from kaa.kernel.process.task import (
    DEAD,
    DYING,
    EXITING,
    INTERRUPTIBLE,
    KILLABLE,
    SHARES_MEMORY,
    STOP_WANTED,
    STOPPED,
    Task,
)
from kaa.kernel.sched import core, futex_pi, robust
from kaa.kernel.signal import stop
from kaa.kernel.signal.summon import summon
from kaa.lang import i32, noinline, trusted, u32, u64, unreachable


@syscall(x86_64=60, arm64=93)
def exit(code: i32) -> None:
    """_exit(2) of one thread."""
    exit_thread((code & 0xFF) << 8)


@syscall(x86_64=231, arm64=94)
def exit_group(code: i32) -> None:
    """exit_group(2): all threads of the process end."""
    begin_group_exit(machine.percpu.current().group, (code & 0xFF) << 8)
    exit_thread(status_of(machine.percpu.current()))


def begin_group_exit(group: ThreadGroup, status: i32) -> None:
    """Let every thread of the process end, with this wait status unless one was set before. A thread that another's
    execve(2) is ending cannot take the process with it; a fatal signal can."""
    with group.signal_lock:
        if not group.group_exit.load_relaxed() and (not group.is_execing or (status & 0x7F) != 0):
            end_group(group, status)


def end_group(group: ThreadGroup, status: i32) -> None:
    """The same under `signal_lock`, when nothing has ended the process yet."""
    group.group_exit_status = status
    group.group_exit.store_release(True)
    stop.cancel(group)
    kill_threads(group, None)


def kill_threads(group: ThreadGroup, survivor: Task | None) -> None:
    """Make every thread but one end at its next return to user mode. Under `signal_lock`."""
    thread = group.first_thread
    while thread is not None:
        if thread is not survivor and (thread.flags.load() & EXITING) == 0:
            thread.flags.fetch_or(DYING)
            summon(thread, u64(INTERRUPTIBLE | KILLABLE | STOPPED))
        thread = thread.next_thread


def status_of(task: Task) -> i32:
    """The wait status a dying thread leaves: the group's, when that ends as a whole."""
    group = task.group
    return group.group_exit_status if group.group_exit.load_acquire() else task.exit_code


@trusted("context", "the last switch: nobody wakes a dead task, and it holds nothing")
def exit_thread(status: i32) -> NoReturn:
    """End the calling thread. The caller's frames hold no counted reference."""
    _exit_parts(machine.percpu.current(), status)
    machine.irq.disable()
    core.set_state(machine.percpu.current(), u64(DEAD))
    core.schedule()
    unreachable()


@noinline
def _exit_parts(task: Task, status: i32) -> None:
    task.exit_code = status
    if task.fail_nth != 0:
        fault_injection.forget(task.fail_nth)
        task.fail_nth = 0
    rcu.require_threads()
    last = _announce(task)
    if last:
        _check_init(task, status)
        if task.group.has_timers.load_relaxed():
            _stop_timers(task.group)
    _leave_memory(task)
    _leave_files(task)
    if last and job_control.is_session_leader(task.group):
        job_control.disassociate(task.group)
    _leave_tree(task)


def _announce(task: Task) -> bool:
    """No more signals for this thread; says whether it is the process's last."""
    group = task.group
    told = False
    with group.signal_lock:
        task.flags.fetch_or(EXITING | DYING)
        group.live_threads -= 1
        last = group.live_threads == 0
        if last and not group.group_exit.load_relaxed():
            group.group_exit_status = task.exit_code
            group.group_exit.store_release(True)
        if (task.flags.load() & STOP_WANTED) != 0:
            task.flags.fetch_and(~u32(STOP_WANTED))
            told = stop.leave_pending(group)
        if not last:
            _pass_signals_on(group, task)
    if told and not last:
        stop.tell_stopped(group)
    return last


def _pass_signals_on(group: ThreadGroup, task: Task) -> None:
    """The process's pending signals that this thread was to take are another's now."""
    thread = group.first_thread
    while thread is not None:
        if (thread.flags.load() & EXITING) == 0 and (group.pending.mask & ~thread.blocked) != 0:
            summon(thread, u64(INTERRUPTIBLE))
        thread = thread.next_thread


def _check_init(task: Task, status: i32) -> None:
    if task.tgid == 1:
        from kaa.kernel import log

        log.panic(f"process 1 ended, wait status {status:#x}")


def _stop_timers(group: ThreadGroup) -> None:
    from kaa.kernel.time import interval, posix_timer

    interval.cancel_all(group)
    posix_timer.delete_all(group)


def _leave_memory(task: Task) -> None:
    """Robust futexes, the thread-exit word, a waiting vfork parent, and then the memory itself."""
    mm = task.mm
    if mm is None:
        return
    if task.robust_list != 0:
        robust.release(task)
    futex_pi.leave(task)
    if task.clear_child_tid != 0 and (task.flags.load() & SHARES_MEMORY) != 0:
        robust.clear_tid(task)
    task.group.note_peak(accounting.resident_kib(mm))
    foreign.replace_memory(task, None)
    fork.release_vfork_parent(task)


def _leave_files(task: Task) -> None:
    """The last task that has the descriptors closes them, and the last that has the directories lets them go. The
    objects stay with the dead: an exit counts nothing that all processors share."""
    if not task.is_kernel_thread():  # which has neither
        unsharing.end_files(task)
        task.fs.leave()


def _leave_tree(task: Task) -> None:
    """What can be done before and after `tree.lock`, which all that fork and end wait for, is not done under it."""
    group = task.group
    parent: ThreadGroup | None = None
    unused: Pid | None = None
    reaped: Pid | None = None
    ran = core.run_time(task)
    with tree.lock:
        if task.is_leader():
            group.leader_done = True
        else:
            unused = _vanish(group, task, ran)
        if group.leader_done and group.thread_count == 1 and group.exec_task is None:
            parent = group.parent
            reaped = _become_zombie(group, task, ran)
        waiter = group.exec_task
        if waiter is not None:
            core.wake_if(waiter, u64(KILLABLE))
    if unused is not None:
        pids.table.give_back(unused)
    if reaped is not None:
        pids.table.give_back(reaped)
    if parent is not None:
        parent.child_waiters.wake_all()


def _vanish(group: ThreadGroup, task: Task, ran: u64) -> Pid | None:
    """A thread other than the leader leaves nothing behind but its accounts; the number that is free by it."""
    with group.signal_lock:
        accounting.add_task(group.usage, task, ran)
        tree.remove_thread(group, task)
    return _unnamed(task.identity)


def _unnamed(identity: Pid) -> Pid | None:
    """No thread is called by the number any more: the number, if nothing else is. Under `tree.lock`."""
    identity.task = None
    identity.tell_watchers()
    return identity if identity.unused() else None


def _become_zombie(group: ThreadGroup, last: Task, ran: u64) -> Pid | None:
    """The whole process is dead, with its last thread, which ran so long: hand its children on, tell its parent, and
    wait to be reaped, or give the number that is free as nobody cares. Under `tree.lock`; the caller wakes the parent
    afterwards."""
    leader = group.leader
    assert leader is not None
    group.exit_status = group.group_exit_status
    with group.signal_lock:
        accounting.add_task(group.usage, leader, ran if leader is last else core.run_time(leader))
        group.usage.peak_resident = group.peak_resident.load_relaxed()
        group.handlers.users.fetch_sub(1)
    reparent.children_of(group)
    reparent.tell_orphaned_group(group)
    parent = group.parent
    group.state = ZOMBIE
    leader.identity.tell_watchers()
    if parent is None or notify.child_exit(group, parent):
        return reap(group)
    return None


def reap(group: ThreadGroup) -> Pid | None:
    """Forget a zombie. Gives its number if that is free now, for `pids.table.give_back`. Under `tree.lock`."""
    group.state = REAPED
    leader = group.leader
    unused: Pid | None = None
    parent = group.parent
    if parent is not None:
        parent.child_news.fetch_add(1)
    tree.remove_child(group)
    tree.leave_group(group)
    tree.leave_session(group)
    if leader is not None:
        unused = _unnamed(leader.identity)
        with group.signal_lock:
            tree.remove_thread(group, leader)
            group.leader = None
    group.tty = None
    return unused


def kill_for_signal(signo: i32) -> NoReturn:
    """End the calling process as if by a fatal signal; for faults that leave no way on (execve past its point of no
    return)."""
    begin_group_exit(machine.percpu.current().group, signo)
    exit_thread(status_of(machine.percpu.current()))
