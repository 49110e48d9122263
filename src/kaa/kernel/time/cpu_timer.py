# SPDX-License-Identifier: Apache-2.0
"""What counts processor time: ITIMER_VIRTUAL, ITIMER_PROF, RLIMIT_CPU, POSIX timers on processor-time clocks.

While a process has any of them (`group.cpu_timers`), the scheduler keeps a tick going when one of its threads runs
and calls `check`: they fire up to a slice late, never early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.abi.resource import INFINITY, Resource
from kaa.kernel.abi.signal import Signal
from kaa.kernel.abi.time import NS
from kaa.kernel.arch import machine
from kaa.kernel.process import accounting
from kaa.kernel.sched import core
from kaa.kernel.time import interval
from kaa.lang import i32, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.process.group import ThreadGroup
    from kaa.kernel.time.interval import IntervalTimer


def recount(group: ThreadGroup) -> None:
    """Something that counts processor time was set or unset."""
    count: u32 = 0
    if group.virtual_timer is not None:
        count += 1
    if group.profile_timer is not None:
        count += 1
    if group.limits.soft[Resource.RLIMIT_CPU] != INFINITY:
        count += 1
    timers = group.posix_timers
    if timers is not None:
        count += timers.processor_timers
    group.cpu_timers = count
    if count != 0:
        core.want_tick()


def watch_limit(group: ThreadGroup) -> None:
    """RLIMIT_CPU was changed."""
    recount(group)


def check() -> None:
    """In the timer interrupt: fire what is due in the running task's process."""
    group = machine.percpu.current().group
    now = accounting.group_run_time(group)
    _check_interval(group, group.virtual_timer, i32(Signal.SIGVTALRM), now)
    _check_interval(group, group.profile_timer, i32(Signal.SIGPROF), now)
    _check_limit(group, now)
    timers = group.posix_timers
    if timers is not None and timers.processor_timers != 0:
        timers.check_processor()


def _check_interval(group: ThreadGroup, found: IntervalTimer | None, signo: i32, now: u64) -> None:
    if found is None:
        return
    deadline = found.deadline.load()
    if deadline == 0 or now < deadline:
        return
    again = found.interval.load()
    if found.deadline.compare_exchange(deadline, 0 if again == 0 else now + again):
        interval.send_signal(group, signo)


def _check_limit(group: ThreadGroup, now: u64) -> None:
    """RLIMIT_CPU: SIGXCPU each second beyond the soft limit, SIGKILL at the hard one (getrlimit(2))."""
    limits = group.limits
    soft = limits.soft[Resource.RLIMIT_CPU]
    if soft == INFINITY:
        return
    seconds = now // NS
    if seconds >= limits.hard[Resource.RLIMIT_CPU]:
        interval.send_signal(group, i32(Signal.SIGKILL))
    elif seconds >= soft:
        limits.soft[Resource.RLIMIT_CPU] = seconds + 1
        interval.send_signal(group, i32(Signal.SIGXCPU))
