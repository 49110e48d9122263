# SPDX-License-Identifier: Apache-2.0
"""Clocks and times: clock_gettime(2), timer_create(2), setitimer(2), timerfd_create(2)."""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import Final

from kaa.lang import ZERO, i32, i64, struct, u64

NS: Final = 1_000_000_000
US: Final = 1_000_000
NEVER: Final = 0xFFFF_FFFF_FFFF_FFFF
LONGEST: Final = 0x7FFF_FFFF_FFFF_FFFF
"""No interval or time is taken to be longer, ns: 292 years."""
TIMER_ABSTIME: Final = 1
TFD_TIMER_CANCEL_ON_SET: Final = 2


class Clock(IntEnum):
    """clockid_t; negative ones name a process's or thread's processor time."""

    CLOCK_REALTIME = 0
    CLOCK_MONOTONIC = 1
    CLOCK_PROCESS_CPUTIME_ID = 2
    CLOCK_THREAD_CPUTIME_ID = 3
    CLOCK_MONOTONIC_RAW = 4
    CLOCK_REALTIME_COARSE = 5
    CLOCK_MONOTONIC_COARSE = 6
    CLOCK_BOOTTIME = 7
    CLOCK_REALTIME_ALARM = 8
    CLOCK_BOOTTIME_ALARM = 9
    CLOCK_TAI = 11


class IntervalKind(IntEnum):
    """Timers of setitimer(2)."""

    ITIMER_REAL = 0
    ITIMER_VIRTUAL = 1
    ITIMER_PROF = 2


@struct
class Timespec:
    """struct timespec, time(3type)."""

    seconds: i64 = 0
    nanoseconds: i64 = 0

    def is_valid(self) -> bool:
        """Not negative, and fewer than 10**9 nanoseconds."""
        return self.seconds >= 0 and 0 <= self.nanoseconds < NS

    def total(self) -> u64:
        """In ns, at most LONGEST. Raises OSError(EINVAL) when not valid."""
        if not self.is_valid():
            raise OSError(errno.EINVAL)
        if self.seconds >= LONGEST // NS:
            return u64(LONGEST)
        return u64(self.seconds) * NS + u64(self.nanoseconds)

    def deadline(self, now: u64) -> u64:
        """`now` plus this, in ns; NEVER rather than later. Raises OSError(EINVAL) when not valid."""
        length = self.total()
        if length == LONGEST or length >= LONGEST - now:
            return u64(NEVER)
        return now + length


def timespec(ns: u64) -> Timespec:
    """ns as a timespec."""
    return Timespec(i64(ns // NS), i64(ns % NS))


@struct
class Timeval:
    """struct timeval."""

    seconds: i64 = 0
    microseconds: i64 = 0

    def total(self) -> u64:
        """In ns, at most LONGEST. Raises OSError(EINVAL) when negative or malformed."""
        if self.seconds < 0 or not 0 <= self.microseconds < US:
            raise OSError(errno.EINVAL)
        if self.seconds >= LONGEST // NS:
            return u64(LONGEST)
        return u64(self.seconds) * NS + u64(self.microseconds) * 1000


def timeval(ns: u64) -> Timeval:
    """ns as a timeval."""
    return Timeval(i64(ns // NS), i64(ns % NS // 1000))


@struct
class TimeZone:
    """struct timezone."""

    minutes_west: i32 = 0
    dst_time: i32 = 0


@struct
class ITimerVal:
    """struct itimerval."""

    interval: Timeval = ZERO
    value: Timeval = ZERO


@struct
class ITimerSpec:
    """struct itimerspec."""

    interval: Timespec = ZERO
    value: Timespec = ZERO


@struct
class SigEvent:
    """struct sigevent as the kernel reads it: 64 bytes."""

    value: u64 = 0
    signo: i32 = 0
    notify: i32 = 0
    thread: i32 = 0
    pad0: i32 = 0
    pad1: u64 = 0
    pad2: u64 = 0
    pad3: u64 = 0
    pad4: u64 = 0
    pad5: u64 = 0


SIGEV_SIGNAL: Final = 0
SIGEV_NONE: Final = 1
SIGEV_THREAD: Final = 2
SIGEV_THREAD_ID: Final = 4
