# SPDX-License-Identifier: Apache-2.0
"""What counts processor time: ITIMER_VIRTUAL, ITIMER_PROF, RLIMIT_CPU, POSIX timers on processor-time clocks.

While a process has any of them (`group.cpu_timers`), the scheduler keeps a tick going when one of its threads runs and
calls `check`: they fire up to LONE_TICK and half a step of the tick's grid late, never early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.resource import INFINITY, Resource
from kaa.kernel.abi.signal import Signal
from kaa.kernel.abi.time import NS
from kaa.kernel.arch import machine
from kaa.kernel.process import accounting
from kaa.kernel.sched import core
from kaa.kernel.time import interval, posix_timer
from kaa.lang import i32, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.process.group import ThreadGroup

# Places in ThreadGroup.count_deadlines.
VIRTUAL: Final = 0
PROFILE: Final = 1


def recount(group: ThreadGroup) -> None:
    """Something that counts processor time was set or unset: one look at a time, so that the last sees all."""
    with group.signal_lock:
        count: u32 = 0
        for at in range(2):
            if group.count_deadlines[at].load() != 0:
                count += 1
        if group.limits.soft[Resource.RLIMIT_CPU].load() != INFINITY:
            count += 1
        timers = group.posix_timers
        if timers is not None:
            count += timers.processor_timers.load()
        group.cpu_timers.store(count)
    if count != 0:
        core.want_tick()


def watch_limit(group: ThreadGroup) -> None:
    """RLIMIT_CPU was changed."""
    recount(group)


def check() -> None:
    """In the timer interrupt: fire what is due in the running task's process."""
    group = machine.percpu.current().group
    now = accounting.group_run_time(group)
    _check_interval(group, VIRTUAL, i32(Signal.SIGVTALRM), now)
    _check_interval(group, PROFILE, i32(Signal.SIGPROF), now)
    _check_limit(group, now)
    timers = posix_timer.of(group)
    if timers is not None and timers.processor_timers.load() != 0:
        timers.check_processor()


def _check_interval(group: ThreadGroup, at: u32, signo: i32, now: u64) -> None:
    deadline = group.count_deadlines[at].load()
    if deadline == 0 or now < deadline:
        return
    again = group.count_intervals[at].load()
    if group.count_deadlines[at].compare_exchange(deadline, 0 if again == 0 else now + again):
        interval.send_signal(group, signo)


def _check_limit(group: ThreadGroup, now: u64) -> None:
    """RLIMIT_CPU: SIGXCPU each second beyond the soft limit, SIGKILL at the hard one (getrlimit(2))."""
    limits = group.limits
    soft = limits.soft[Resource.RLIMIT_CPU].load()
    if soft == INFINITY:
        return
    with group.signal_lock:
        hard = limits.hard[Resource.RLIMIT_CPU]
    seconds = now // NS
    if seconds >= hard:
        interval.send_signal(group, i32(Signal.SIGKILL))
    elif seconds >= soft and limits.soft[Resource.RLIMIT_CPU].compare_exchange(soft, seconds + 1):
        interval.send_signal(group, i32(Signal.SIGXCPU))
