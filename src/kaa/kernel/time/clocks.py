# SPDX-License-Identifier: Apache-2.0
"""Reading and setting clocks: clock_gettime(2) and its elders.

Real time is the machine's; monotonic time counts from boot and never stops here (no suspend), so that boot time is
the same. The raw and coarse clocks are as fine as the others. TAI is UTC: nobody tells the kernel of leap seconds.
"""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.abi.time import NS, Clock, Timespec, Timeval, TimeZone, timespec, timeval
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process import accounting, credentials, ids
from kaa.lang import i32, i64, u32, u64

CPU_CLOCK_MASK: Final = 7
CPU_PROF: Final = 0
CPU_VIRT: Final = 1
CPU_SCHED: Final = 2
PER_THREAD: Final = 4
COARSE: Final = 4_000_000
"""Resolution told for the coarse clocks, ns."""


def is_monotonic(clock: i32) -> bool:
    """Whether a deadline on this clock is one on the monotonic clock."""
    return clock in (
        Clock.CLOCK_MONOTONIC,
        Clock.CLOCK_MONOTONIC_RAW,
        Clock.CLOCK_MONOTONIC_COARSE,
        Clock.CLOCK_BOOTTIME,
        Clock.CLOCK_BOOTTIME_ALARM,
    )


def is_real(clock: i32) -> bool:
    """Whether it is a clock of real time."""
    return clock in (Clock.CLOCK_REALTIME, Clock.CLOCK_REALTIME_COARSE, Clock.CLOCK_REALTIME_ALARM, Clock.CLOCK_TAI)


def read(clock: i32) -> u64:
    """ns now. Raises OSError(EINVAL) for a clock that there is not."""
    if clock == Clock.CLOCK_MONOTONIC:
        return machine.clock.monotonic_ns()
    if clock == Clock.CLOCK_REALTIME or is_real(clock):
        return machine.clock.realtime_ns()
    if is_monotonic(clock):
        return machine.clock.monotonic_ns()
    return _read_processor_time(clock)


def _read_processor_time(clock: i32) -> u64:
    from kaa.kernel.sched import core

    task = machine.percpu.current()
    if clock == Clock.CLOCK_THREAD_CPUTIME_ID:
        return core.run_time(task)
    if clock == Clock.CLOCK_PROCESS_CPUTIME_ID:
        return accounting.group_run_time(task.group)
    if clock >= 0:
        raise OSError(errno.EINVAL)
    return _read_other(clock)


def _read_other(clock: i32) -> u64:
    """clock_getcpuclockid(3): ~pid << 3 | which."""
    from kaa.kernel.sched import core

    bits = u32(clock)
    if (bits & 3) == 3:
        raise OSError(errno.EINVAL)
    number = i32(~(clock >> 3))
    target = machine.percpu.current() if number == 0 else ids.find_task(number)
    if target is None:
        raise OSError(errno.EINVAL)
    if (bits & PER_THREAD) != 0:
        if target.tgid != machine.percpu.current().tgid:
            raise OSError(errno.EINVAL)
        return core.run_time(target)
    if number != 0 and target.tgid != number:
        raise OSError(errno.EINVAL)
    return accounting.group_run_time(target.group)


@syscall(x86_64=228, arm64=113)
def clock_gettime(clock: i32, into: UserPtr[Timespec]) -> None:
    """clock_gettime(2): the time of a clock."""
    into.write(timespec(read(clock)))


@syscall(x86_64=229, arm64=114)
def clock_getres(clock: i32, into: UserPtr[Timespec]) -> None:
    """clock_getres(2): a clock's resolution."""
    read(clock)
    coarse = clock in (Clock.CLOCK_REALTIME_COARSE, Clock.CLOCK_MONOTONIC_COARSE)
    if not into.is_null():
        into.write(timespec(u64(COARSE if coarse else 1)))


@syscall(x86_64=227, arm64=112)
def clock_settime(clock: i32, value: UserPtr[Timespec]) -> None:
    """clock_settime(2): set the real-time clock."""
    wanted = value.read()
    if clock != Clock.CLOCK_REALTIME:
        raise OSError(errno.EINVAL)
    ns = wanted.total()
    credentials.require(u32(credentials.Capability.CAP_SYS_TIME))
    _set(ns)


def _set(ns: u64) -> None:
    from kaa.kernel.time import real_deadlines

    machine.clock.set_realtime(ns)
    real_deadlines.clock_was_set()


@syscall(x86_64=96, arm64=169)
def gettimeofday(into: UserPtr[Timeval], zone: UserPtr[TimeZone]) -> None:
    """gettimeofday(2)."""
    if not into.is_null():
        into.write(timeval(machine.clock.realtime_ns()))
    if not zone.is_null():
        zone.write(TimeZone())


@syscall(x86_64=164, arm64=170)
def settimeofday(value: UserPtr[Timeval], zone: UserPtr[TimeZone]) -> None:
    """settimeofday(2); a time zone is read and forgotten."""
    ns: u64 = u64(0)
    if not value.is_null():
        ns = value.read().total()
    if not zone.is_null():
        zone.read()
    credentials.require(u32(credentials.Capability.CAP_SYS_TIME))
    if not value.is_null():
        _set(ns)


@syscall(x86_64=201)
def time(into: UserPtr[i64]) -> i64:
    """time(2): seconds since 1970."""
    seconds = i64(machine.clock.realtime_ns() // NS)
    if not into.is_null():
        into.write(seconds)
    return seconds
