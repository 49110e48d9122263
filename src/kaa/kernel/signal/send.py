# SPDX-License-Identifier: Apache-2.0
"""Sending signals, from system calls, from the kernel, from interrupts.

The sender puts the signal into the pending set of the thread or of the process, picks a thread that does not block it,
raises that thread's WORK_SIGNAL and wakes it. The thread takes it in `deliver` on its way back to user mode.
Nothing here sleeps. A siginfo is allocated; without memory the signal is sent without one (see `pending`).
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.abi.resource import Resource
from kaa.kernel.abi.signal import KILL_AND_STOP, SIGRTMIN, Code, SigInfo, Signal
from kaa.kernel.arch import machine
from kaa.kernel.process import foreign, ids
from kaa.kernel.process.group import KERNEL, UNKILLABLE, ZOMBIE, ThreadGroup
from kaa.kernel.process.task import DYING, EXITING, STOP_WANTED, WORK_SIGNAL, Task
from kaa.kernel.signal import stop
from kaa.kernel.signal.pending import PendingSignals, QueuedSignal, queued_in_all
from kaa.kernel.signal.summon import alert
from kaa.lang import cold, i32, inline, u32, u64

CANNOT_CATCH: Final = KILL_AND_STOP


def kernel_info(signo: i32) -> SigInfo:
    """The siginfo of a signal that the kernel sends of itself."""
    return SigInfo(signo, 0, Code.SI_KERNEL)


def send(task: Task, signo: i32, info: SigInfo) -> bool:
    """Send to one thread (tgkill(2), SIGPIPE). False when too many real-time signals are queued (EAGAIN, to whom it
    matters)."""
    group = task.group
    room = has_room(group, signo)
    with group.signal_lock:
        if (task.flags.load() & EXITING) == 0:
            return send_locked(group, task, signo, info, room)
    return True


def send_group(group: ThreadGroup, signo: i32, info: SigInfo) -> bool:
    """Send to a process (kill(2)). False when too many real-time signals are queued."""
    room = has_room(group, signo)
    with group.signal_lock:
        return send_locked(group, None, signo, info, room)


def send_kernel(task: Task, signo: i32) -> None:
    """Send to one thread, on the kernel's behalf."""
    send(task, signo, kernel_info(signo))


def send_group_kernel(group: ThreadGroup, signo: i32) -> None:
    """Send to a process, on the kernel's behalf."""
    send_group(group, signo, kernel_info(signo))


def send_locked(group: ThreadGroup, target: Task | None, signo: i32, info: SigInfo, room: bool = True) -> bool:
    """Send to a thread, or (None) to the process, under its `signal_lock`. False when too many are queued, which the
    caller found out before (`room`)."""
    if group.state >= ZOMBIE or (group.flags.load_relaxed() & KERNEL) != 0:
        return True
    stop.prepare(group, signo)
    probe = target if target is not None else group.first_thread
    if probe is None or _is_moot(group, probe, signo, info):
        return True
    pending = group.pending if target is None else target.pending
    if signo < SIGRTMIN and ((pending.mask >> u64(signo - 1)) & 1) != 0:
        return True
    if signo == Signal.SIGKILL:
        pending.raise_bit(signo)
        _kill(group)
        return True
    if room:
        _queue(pending, signo, info)
    elif info.code == Code.SI_USER:
        pending.raise_bit(signo)
    else:
        return False
    _notify(group, target, signo)
    return True


@cold
def _kill(group: ThreadGroup) -> None:
    """SIGKILL ends the whole process at once, whichever of its threads are asleep and how."""
    from kaa.kernel.process import exit

    if not group.group_exit.load_relaxed():
        exit.end_group(group, i32(Signal.SIGKILL))


def has_room(group: ThreadGroup, signo: i32) -> bool:
    """RLIMIT_SIGPENDING: may one more be queued for this process? It is for real-time signals, and counts what is
    queued for all processes of the same real user, who are only looked for when there are so many in all. Takes signal
    locks."""
    if signo < SIGRTMIN:
        return True
    limit = group.limits.soft[Resource.RLIMIT_SIGPENDING].load_relaxed()
    if queued_in_all() < limit:
        return True
    with group.signal_lock:
        thread = group.first_thread
    return thread is None or queued_for(foreign.user_of(thread)) < limit


def queued_for(uid: u32) -> u64:
    """Signals in the sets of all processes of a real user. Takes signal locks."""
    count: u64 = u64(0)
    if queued_in_all() == 0:
        return count
    task = ids.next_task(i32(0))
    while task is not None:
        if foreign.user_of(task) == uid:
            count += task.pending.count
            if task.is_leader():
                count += task.group.pending.count
        task = ids.next_task(task.pid)
    return count


def _is_moot(group: ThreadGroup, probe: Task, signo: i32, info: SigInfo) -> bool:
    """Whether sending changes nothing: ignored and not blocked; or pid 1 has no handler and the sender is no kernel."""
    bit = u64(1) << u64(signo - 1)
    handlers = group.handlers
    if (group.flags.load_relaxed() & UNKILLABLE) != 0:
        if (handlers.defaults & bit) != 0 and info.code != Code.SI_KERNEL:
            return True
        if (CANNOT_CATCH & bit) != 0:
            return True
    if (probe.blocked & bit) != 0 or (probe.waited_for & bit) != 0:
        return False
    return handlers.will_ignore(signo)


def _queue(pending: PendingSignals, signo: i32, info: SigInfo) -> None:
    """Put it into the set, with its siginfo if there is memory for that."""
    try:
        pending.queue(info)
    except Exception:
        pending.raise_bit(signo)


def queue_timer_signal(group: ThreadGroup, target: Task | None, entry: QueuedSignal) -> bool:
    """Send a POSIX timer's own preallocated signal; False when it is still in line (an overrun) or ignored."""
    with group.signal_lock:
        if entry.queued:
            return False
        signo = entry.info.signo
        probe = target if target is not None else group.first_thread
        if group.state >= ZOMBIE or probe is None or _is_moot(group, probe, signo, entry.info):
            return True
        pending = group.pending if target is None else target.pending
        pending.append(entry)
        _notify(group, target, signo)
    return True


def _notify(group: ThreadGroup, target: Task | None, signo: i32) -> None:
    """Let a thread that can take the signal know."""
    if group.signalfd_waiters.has_waiters():
        group.signalfd_waiters.wake_all()
    chosen = target if target is not None else _choose(group, signo)
    if chosen is not None and _wants(chosen, signo):
        alert(chosen)


def _choose(group: ThreadGroup, signo: i32) -> Task | None:
    """The leader before the others."""
    thread = group.first_thread
    while thread is not None and not _wants(thread, signo):
        thread = thread.next_thread
    return thread


@inline
def _wants(task: Task, signo: i32) -> bool:
    bit = u64(1) << u64(signo - 1)
    if (task.flags.load() & EXITING) != 0:
        return False
    return ((task.blocked & ~task.waited_for) & bit) == 0


def recalculate(task: Task) -> None:
    """Set WORK_SIGNAL by what is pending and not blocked. Of the caller, or under its signal lock when only raising."""
    group = task.group
    deliverable = (task.pending.mask | group.pending.mask) & ~task.blocked
    if deliverable != 0 or (task.flags.load() & (STOP_WANTED | DYING)) != 0 or group.job_notify:
        task.work.fetch_or(WORK_SIGNAL)
    elif task is machine.percpu.current():
        task.work.fetch_and(~u32(WORK_SIGNAL))


def force(task: Task, info: SigInfo) -> None:
    """A signal that cannot be escaped, to the caller: a fault. Blocked or ignored, it gets the default action."""
    group = task.group
    signo = info.signo
    bit = u64(1) << u64(signo - 1)
    with group.signal_lock:
        if (task.blocked & bit) != 0 or (group.handlers.ignored & bit) != 0:
            group.handlers.reset(signo)
            task.blocked &= ~bit
        if (group.handlers.defaults & bit) != 0:
            group.flags.fetch_and(~u32(UNKILLABLE))
        pending = task.pending
        if (pending.mask & bit) == 0:
            _queue(pending, signo, info)
        alert(task)


def force_default(task: Task, signo: i32) -> None:
    """The same, and the default action whatever the handler: when no frame could be pushed for it."""
    with task.group.signal_lock:
        task.group.handlers.reset(signo)
    force(task, kernel_info(signo))
