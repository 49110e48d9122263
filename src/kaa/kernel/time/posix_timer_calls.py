# SPDX-License-Identifier: Apache-2.0
"""The system calls of POSIX timers. They are the process's own: its threads' calls exclude one another by
`posix_timer.lock`."""

from __future__ import annotations

import errno

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.abi.time import (
    LONGEST,
    SIGEV_NONE,
    SIGEV_SIGNAL,
    SIGEV_THREAD_ID,
    TIMER_ABSTIME,
    ITimerSpec,
    SigEvent,
    timespec,
)
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process import ids
from kaa.kernel.process.group import ThreadGroup
from kaa.kernel.time import clocks, cpu_timer, posix_timer
from kaa.kernel.time.posix_timer import PosixTimer, PosixTimers
from kaa.lang import i32, u32, u64


def _timers(group: ThreadGroup) -> PosixTimers:
    found = posix_timer.of(group)
    if found is None:
        raise OSError(errno.EINVAL)
    return found


@syscall(x86_64=222, arm64=107)
def timer_create(clock: i32, event: UserPtr[SigEvent], into: UserPtr[i32]) -> None:
    """timer_create(2)."""
    asked = SigEvent()
    asked.signo = i32(posix_timer.DEFAULT_SIGNAL)
    if not event.is_null():
        asked = event.read()
    clocks.read(clock)
    group = machine.percpu.current().group
    with posix_timer.lock:
        timers = posix_timer.of(group)
        if timers is None:
            timers = PosixTimers()
            with group.signal_lock:
                group.posix_timers = timers
            group.has_timers.store(True)
        new = PosixTimer(group, timers.next_number, clock)
        _set_event(new, asked, event.is_null())
        timers.add(new)
        try:
            into.write(new.number)
        except OSError:
            timers.remove(new)
            raise
        timers.next_number = 0 if timers.next_number == 0x7FFF_FFFF else timers.next_number + 1


def _set_event(new: PosixTimer, asked: SigEvent, default: bool) -> None:
    if asked.notify not in (SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD_ID):
        raise OSError(errno.EINVAL)
    new.silent = asked.notify == SIGEV_NONE
    if not new.silent:
        posix_timer.check_signal(asked.signo)
    if asked.notify == SIGEV_THREAD_ID:
        task = ids.find_task(asked.thread)
        if task is None or task.group is not machine.percpu.current().group:
            raise OSError(errno.EINVAL)
        new.target = asked.thread
    posix_timer.prepare_signal(new, asked.signo, u64(u32(new.number)) if default else asked.value)


@syscall(x86_64=223, arm64=110)
def timer_settime(number: i32, flags: i32, new: UserPtr[ITimerSpec], old: UserPtr[ITimerSpec]) -> None:
    """timer_settime(2): arm or disarm."""
    if new.is_null():
        raise OSError(errno.EINVAL)
    wanted = new.read()
    value = wanted.value.total()
    interval = wanted.interval.total()
    group = machine.percpu.current().group
    with posix_timer.lock:
        found = _timers(group).find(number)
        now = clocks.read(found.clock)
        before = _remaining(found, now)
        deadline: u64 = u64(0)
        if value != 0:
            absolute = (flags & TIMER_ABSTIME) != 0
            deadline = value if absolute else now + min(value, LONGEST - now)
        found.set(now, deadline, interval)
        cpu_timer.recount(group)
    if not old.is_null():
        old.write(before)


def _remaining(found: PosixTimer, now: u64) -> ITimerSpec:
    result = ITimerSpec()
    rest, interval = found.remaining(now)
    result.interval = timespec(interval)
    result.value = timespec(rest)
    return result


@syscall(x86_64=224, arm64=108)
def timer_gettime(number: i32, into: UserPtr[ITimerSpec]) -> None:
    """timer_gettime(2)."""
    with posix_timer.lock:
        found = _timers(machine.percpu.current().group).find(number)
        result = _remaining(found, clocks.read(found.clock))
    into.write(result)


@syscall(x86_64=225, arm64=109)
def timer_getoverrun(number: i32) -> i32:
    """timer_getoverrun(2): expiries that the last delivered signal stood for besides its own."""
    with posix_timer.lock:
        return i32(_timers(machine.percpu.current().group).find(number).last_overrun.load())


@syscall(x86_64=226, arm64=111)
def timer_delete(number: i32) -> None:
    """timer_delete(2)."""
    group = machine.percpu.current().group
    with posix_timer.lock:
        timers = _timers(group)
        found = timers.find(number)
        posix_timer.disarm(found)
        timers.remove(found)
        cpu_timer.recount(group)
