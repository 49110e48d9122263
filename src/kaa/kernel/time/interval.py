# SPDX-License-Identifier: Apache-2.0
"""setitimer(2), getitimer(2), alarm(2): one timer of each kind for a process.

ITIMER_REAL is a timer in the queue. ITIMER_VIRTUAL and ITIMER_PROF count the process's processor time: `cpu_timer`
looks at them at the end of each slice, in interrupts on any processor: so their `deadline` is an atomic word, and who
takes it away sends the signal. A process's threads' calls exclude one another by `lock`; the timers are made when first
set and live as long as the process. They hold no reference to it: all are stopped when the process ends.
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
    """ITIMER_REAL, or (never queued) the deadline of a processor-time timer in ns of that time."""

    group: Final[weakref.ref[ThreadGroup]]
    interval: Atomic[u64]
    deadline: Atomic[u64]

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
        if interval != 0:
            now = machine.clock.monotonic_ns()
            missed = (now - self.key) // interval if now > self.key else u64(0)
            timer.arm(self, self.key + (missed + 1) * interval)
        send_signal(group, i32(Signal.SIGALRM))


def send_signal(group: ThreadGroup, signo: i32) -> None:
    """A timer's signal."""
    send.send_group(group, signo, SigInfo(signo, 0, i32(Code.SI_KERNEL)))


def _own_real(group: ThreadGroup) -> IntervalTimer:
    found = group.real_timer
    if found is None:
        found = IntervalTimer(group)
        group.real_timer = found
    return found


def _set_real(group: ThreadGroup, value: u64, interval: u64) -> None:
    if value == 0 and group.real_timer is None:
        return
    alarm_timer = _own_real(group)
    timer.cancel_sync(alarm_timer)
    alarm_timer.interval.store(interval)
    if value != 0:
        now = machine.clock.monotonic_ns()
        timer.arm(alarm_timer, now + min(value, u64(1 << 62)))


def _remaining_real(group: ThreadGroup) -> u64:
    found = group.real_timer
    if found is None or not found.armed:
        return u64(0)
    now = machine.clock.monotonic_ns()
    return max(found.key - now, u64(1000)) if found.key > now else u64(1000)


def _processor_timer(group: ThreadGroup, which: i32) -> IntervalTimer | None:
    return group.virtual_timer if which == IntervalKind.ITIMER_VIRTUAL else group.profile_timer


def _set_processor(group: ThreadGroup, which: i32, value: u64, interval: u64) -> None:
    from kaa.kernel.time import cpu_timer

    found = _processor_timer(group, which)
    if found is None:
        if value == 0:
            return
        found = IntervalTimer(group)
        if which == IntervalKind.ITIMER_VIRTUAL:
            group.virtual_timer = found
        else:
            group.profile_timer = found
    found.deadline.store(0)
    found.interval.store(interval)
    if value != 0:
        found.deadline.store(accounting.group_run_time(group) + min(value, u64(1 << 62)))
    cpu_timer.recount(group)


def _read(group: ThreadGroup, which: i32) -> ITimerVal:
    result = ITimerVal()
    if which == IntervalKind.ITIMER_REAL:
        found = group.real_timer
        if found is not None:
            result.interval = timeval(found.interval.load())
        result.value = timeval(_remaining_real(group))
        return result
    other = _processor_timer(group, which)
    if other is not None:
        result.interval = timeval(other.interval.load())
        deadline = other.deadline.load()
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
    real, virtual, profile = group.real_timer, group.virtual_timer, group.profile_timer
    if real is not None:
        timer.cancel_sync(real)
    if virtual is not None:
        virtual.deadline.store(0)
    if profile is not None:
        profile.deadline.store(0)
