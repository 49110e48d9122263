# SPDX-License-Identifier: Apache-2.0
"""setitimer(2), getitimer(2), alarm(2): one timer of each kind for a process.

ITIMER_REAL is a timer in the queue, made when it is first set; it lives as long as the process, and holds no reference
to it. ITIMER_VIRTUAL and ITIMER_PROF are words in the process, for they count its processor time: `cpu_timer` looks at
them at the end of each slice, in interrupts on any processor, and who takes the deadline away sends the signal. A
process's threads' calls exclude one another by `lock`. All are stopped when the process ends.
"""

from __future__ import annotations

import errno
import weakref
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.signal import Code, SigInfo, Signal
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.abi.time import NS, IntervalKind, ITimerVal, timeval
from kaa.kernel.arch import machine
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process import accounting
from kaa.kernel.signal import send
from kaa.kernel.time import timer
from kaa.kernel.time.timer import Timer
from kaa.lang import Atomic, i32, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.process.group import ThreadGroup


lock = Mutex("interval timers")


class IntervalTimer(Timer):
    """ITIMER_REAL."""

    group: Final[weakref.ref[ThreadGroup]]
    interval: Atomic[u64]
    deadline: Atomic[u64]
    """What it was armed for; 0 if it was not."""

    def __init__(self, group: ThreadGroup) -> None:
        super().__init__()
        self.group = weakref.ref(group)
        self.interval = Atomic(0)
        self.deadline = Atomic(0)

    def expired(self) -> None:
        """SIGALRM, and again after the interval."""
        group = self.group()
        if group is None:
            return
        interval = self.interval.load()
        deadline = self.deadline.load()
        self.deadline.store(0)
        if interval != 0:
            now = machine.clock.monotonic_ns()
            missed = (now - deadline) // interval if now > deadline else u64(0)
            self.start(deadline + (missed + 1) * interval)
        send_signal(group, i32(Signal.SIGALRM))


    def start(self, deadline: u64) -> None:
        """Expire at a monotonic time."""
        self.deadline.store(deadline)
        timer.arm(self, deadline)

    def stop(self) -> None:
        """Do not expire any more. Waits for the callback's end."""
        timer.cancel_sync(self)
        self.deadline.store(0)


def send_signal(group: ThreadGroup, signo: i32) -> None:
    """A timer's signal."""
    send.send_group(group, signo, SigInfo(signo, 0, i32(Code.SI_KERNEL)))


def _real(group: ThreadGroup) -> IntervalTimer | None:
    with group.signal_lock:
        return group.real_timer


def _own_real(group: ThreadGroup) -> IntervalTimer:
    found = _real(group)
    if found is None:
        found = IntervalTimer(group)
        with group.signal_lock:
            group.real_timer = found
        group.has_timers.store(True)
    return found


def _set_real(group: ThreadGroup, value: u64, interval: u64) -> None:
    if value == 0 and _real(group) is None:
        return
    alarm_timer = _own_real(group)
    alarm_timer.stop()
    alarm_timer.interval.store(interval)
    if value != 0:
        now = machine.clock.monotonic_ns()
        alarm_timer.start(now + min(value, u64(1 << 62)))


def _remaining_real(group: ThreadGroup) -> u64:
    found = _real(group)
    deadline = u64(0) if found is None else found.deadline.load()
    if deadline == 0:
        return u64(0)
    now = machine.clock.monotonic_ns()
    return max(deadline - now, u64(1000)) if deadline > now else u64(1000)


def _set_processor(group: ThreadGroup, which: i32, value: u64, interval: u64) -> None:
    from kaa.kernel.time import cpu_timer

    at = which - IntervalKind.ITIMER_VIRTUAL
    group.count_deadlines[at].store(0)
    group.count_intervals[at].store(interval)
    if value != 0:
        group.has_timers.store(True)
        group.count_deadlines[at].store(accounting.group_run_time(group) + min(value, u64(1 << 62)))
    cpu_timer.recount(group)


def _read(group: ThreadGroup, which: i32) -> ITimerVal:
    result = ITimerVal()
    if which == IntervalKind.ITIMER_REAL:
        found = _real(group)
        if found is not None:
            result.interval = timeval(found.interval.load())
        result.value = timeval(_remaining_real(group))
        return result
    at = which - IntervalKind.ITIMER_VIRTUAL
    result.interval = timeval(group.count_intervals[at].load())
    deadline = group.count_deadlines[at].load()
    if deadline != 0:
        now = accounting.group_run_time(group)
        result.value = timeval(deadline - now if deadline > now else u64(1000))
    return result


def _check(which: i32) -> None:
    if which < IntervalKind.ITIMER_REAL or which > IntervalKind.ITIMER_PROF:
        raise OSError(errno.EINVAL)


@syscall(x86_64=36, arm64=102)
def getitimer(which: i32, into: UserPtr[ITimerVal]) -> None:
    """getitimer(2)."""
    _check(which)
    with lock:
        result = _read(machine.percpu.current().group, which)
    into.write(result)


@syscall(x86_64=38, arm64=103)
def setitimer(which: i32, new: UserPtr[ITimerVal], old: UserPtr[ITimerVal]) -> None:
    """setitimer(2)."""
    group = machine.percpu.current().group
    wanted = ITimerVal()
    if not new.is_null():
        wanted = new.read()
    value = wanted.value.total()
    interval = wanted.interval.total()
    _check(which)
    with lock:
        before = _read(group, which)
        if which == IntervalKind.ITIMER_REAL:
            _set_real(group, value, interval)
        else:
            _set_processor(group, which, value, interval)
    if not old.is_null():
        old.write(before)


@syscall(x86_64=37)
def alarm(seconds: u32) -> u32:
    """alarm(2): SIGALRM after so many seconds; gives what was left of the one before."""
    group = machine.percpu.current().group
    with lock:
        left = _remaining_real(group)
        _set_real(group, u64(seconds) * NS, u64(0))
    if left == 0:
        return u32(0)
    return u32(max((left + NS // 2) // NS, u64(1)))


def cancel_all(group: ThreadGroup) -> None:
    """The process ends. Threads of it that are still on their last way look at the timers in ticks."""
    real = _real(group)
    if real is not None:
        real.stop()
    for at in range(2):
        group.count_deadlines[at].store(0)
