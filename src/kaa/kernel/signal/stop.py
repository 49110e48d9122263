# SPDX-License-Identifier: Apache-2.0
"""Job control: stopping all threads of a process and letting them go on (POSIX 2.4.3, 2.4.4).

A stop signal, once taken by a thread, sets STOP_WANTED on every thread; each stops when it next comes by `deliver`,
and the last one tells the parent. SIGCONT undoes all of it at the moment it is *sent*; the parent is told by the
first thread that comes by afterwards (the sender may hold locks). Under the group's `signal_lock`.
"""

from __future__ import annotations

from kaa.kernel.abi.signal import STOP_SIGNALS, Code, Signal
from kaa.kernel.process.group import JOB_CONTINUED, JOB_STOPPED, ThreadGroup
from kaa.kernel.process.task import DYING, EXITING, INTERRUPTIBLE, STOP_TAKEN, STOP_WANTED, STOPPED, Task
from kaa.kernel.sched import core
from kaa.kernel.signal.summon import summon
from kaa.lang import i32, u32, u64

SIGCONT_BIT = 1 << (Signal.SIGCONT - 1)


def prepare(group: ThreadGroup, signo: i32) -> None:
    """What sending does before the signal is queued: stop signals and SIGCONT cancel one another."""
    bit = u64(1) << u64(signo - 1)
    if (STOP_SIGNALS & bit) != 0:
        _discard(group, u64(SIGCONT_BIT))
    elif signo == Signal.SIGCONT:
        _discard(group, u64(STOP_SIGNALS))
        _continue(group)
    elif signo == Signal.SIGKILL:
        _discard(group, u64(STOP_SIGNALS))
        cancel(group)


def _discard(group: ThreadGroup, mask: u64) -> None:
    group.pending.discard(mask)
    thread = group.first_thread
    while thread is not None:
        thread.pending.discard(mask)
        thread = thread.next_thread


def _continue(group: ThreadGroup) -> None:
    was_stopping = group.stopped or group.stop_pending != 0
    cancel(group)
    if was_stopping:
        group.job_notify = True
        group.job = JOB_CONTINUED
        group.stop_signal = Signal.SIGCONT
        _alert_all(group)


def cancel(group: ThreadGroup) -> None:
    """Nobody need stop; who has stopped goes on. A stop signal that was taken, and has not begun to stop anyone, will
    not."""
    group.stopped = False
    group.stop_pending = 0
    group.job &= ~u32(JOB_STOPPED)
    thread = group.first_thread
    while thread is not None:
        thread.flags.fetch_and(~u32(STOP_WANTED | STOP_TAKEN))
        core.wake_if(thread, u64(STOPPED))
        thread = thread.next_thread


def _alert_all(group: ThreadGroup) -> None:
    thread = group.first_thread
    while thread is not None:
        summon(thread, u64(INTERRUPTIBLE))
        thread = thread.next_thread


def begin(group: ThreadGroup, task: Task, signo: i32) -> None:
    """The caller took a stop signal: every thread is to stop. Under the lock; nothing happens when SIGCONT or SIGKILL
    was sent since the signal was taken."""
    if (task.flags.fetch_and(~u32(STOP_TAKEN)) & STOP_TAKEN) == 0:
        return
    if group.stop_pending != 0 or group.group_exit.load_relaxed():
        return
    group.stop_signal = signo
    thread = group.first_thread
    while thread is not None:
        if (thread.flags.load() & (EXITING | DYING)) == 0 and thread.state.load() != STOPPED:
            thread.flags.fetch_or(STOP_WANTED)
            group.stop_pending += 1
            summon(thread, u64(INTERRUPTIBLE))
        thread = thread.next_thread


def participate(task: Task) -> bool:
    """The caller stops, if it is to. Called without the lock; returns when it may go on. False: nothing was wanted."""
    group = task.group
    with group.signal_lock:
        if (task.flags.load() & (STOP_WANTED | DYING)) != STOP_WANTED or group.group_exit.load_relaxed():
            return False
        task.flags.fetch_and(~u32(STOP_WANTED))
        core.set_state(task, u64(STOPPED))
        last = leave_pending(group)
        signo = group.stop_signal
    if last:
        _tell_parent(group, Code.CLD_STOPPED, signo)
    core.schedule()
    return True


def leave_pending(group: ThreadGroup) -> bool:
    """One thread fewer has still to stop (it did, or it dies); whether that completes the stop. Under the lock."""
    if group.stop_pending == 0:
        return False
    group.stop_pending -= 1
    if group.stop_pending != 0:
        return False
    group.stopped = True
    group.job = JOB_STOPPED
    return True


def tell_stopped(group: ThreadGroup) -> None:
    """The last thread that had to stop died instead: the others have stopped."""
    with group.signal_lock:
        signo = group.stop_signal
    _tell_parent(group, Code.CLD_STOPPED, signo)


def tell_continued(group: ThreadGroup) -> bool:
    """The first thread that comes by after SIGCONT tells the parent. Called without the lock."""
    with group.signal_lock:
        due = group.job_notify
        group.job_notify = False
    if due:
        _tell_parent(group, Code.CLD_CONTINUED, Signal.SIGCONT)
    return due


def _tell_parent(group: ThreadGroup, code: i32, status: i32) -> None:
    from kaa.kernel.process import notify

    notify.job_change(group, code, status)


def may_stop(group: ThreadGroup, signo: i32) -> bool:
    """SIGTSTP, SIGTTIN and SIGTTOU do not stop a member of an orphaned process group (POSIX 2.4.3)."""
    from kaa.kernel.process import tree

    return signo == Signal.SIGSTOP or not tree.is_orphaned_group(group)
