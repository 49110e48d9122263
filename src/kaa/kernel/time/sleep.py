# SPDX-License-Identifier: Apache-2.0
"""nanosleep(2), clock_nanosleep(2), and restart_syscall(2), which goes on with an interrupted relative sleep."""

from __future__ import annotations

import errno

from kaa.kernel.abi.restart import RestartBlock, RestartUnlessHandled
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.abi.time import NEVER, TIMER_ABSTIME, Clock, Timespec, timespec
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process.task import INTERRUPTIBLE, RESTART_FUTEX, RESTART_NANOSLEEP, RESTART_POLL, RUNNING, Task
from kaa.kernel.sched import core
from kaa.kernel.signal import has_pending
from kaa.kernel.time import clocks
from kaa.lang import i32, i64, u32, u64


def sleep_interruptibly(task: Task, deadline: u64) -> bool:
    """Sleep until a monotonic time; False when a signal came first."""
    while machine.clock.monotonic_ns() < deadline:
        core.set_state(task, u64(INTERRUPTIBLE))
        if has_pending(task):
            core.set_state(task, u64(RUNNING))
            return False
        core.schedule_until(deadline)
    return True


def _relative(deadline: u64, remaining: u64) -> None:
    """Sleep; raises RestartBlock, with what is left stored at `remaining` (0: nowhere), when a signal came."""
    task = machine.percpu.current()
    if sleep_interruptibly(task, deadline):
        return
    if remaining != 0:
        now = machine.clock.monotonic_ns()
        UserPtr[Timespec](remaining).write(timespec(deadline - now if deadline > now else u64(0)))
    task.restart_kind = RESTART_NANOSLEEP
    task.restart_deadline = deadline
    task.restart_address = remaining
    raise RestartBlock


@syscall(x86_64=35, arm64=101)
def nanosleep(request: UserPtr[Timespec], remaining: UserPtr[Timespec]) -> None:
    """nanosleep(2): sleep for a time; after a handler EINTR, with the rest stored."""
    deadline = request.read().deadline(machine.clock.monotonic_ns())
    _relative(deadline, remaining.address)


@syscall(x86_64=230, arm64=115)
def clock_nanosleep(clock: i32, flags: u32, request: UserPtr[Timespec], remaining: UserPtr[Timespec]) -> None:
    """clock_nanosleep(2): sleep for or until a time of a clock. Processor-time clocks are refused (ENOTSUP), but the
    caller's own thread's (EINVAL)."""
    if clock == Clock.CLOCK_THREAD_CPUTIME_ID:
        raise OSError(errno.EINVAL)
    if clock < 0 or clock == Clock.CLOCK_PROCESS_CPUTIME_ID:
        raise OSError(errno.ENOTSUP)
    if clock in (Clock.CLOCK_MONOTONIC_RAW, Clock.CLOCK_REALTIME_COARSE, Clock.CLOCK_MONOTONIC_COARSE):
        raise OSError(errno.ENOTSUP)
    clocks.read(clock)
    wanted = request.read()
    if (flags & TIMER_ABSTIME) == 0:
        _relative(wanted.deadline(machine.clock.monotonic_ns()), remaining.address)
    else:
        _absolute(clock, wanted.total())


def _absolute(clock: i32, target: u64) -> None:
    """Sleep until a clock shows `target`; a real-time clock may be set meanwhile, so look again each time."""
    task = machine.percpu.current()
    while True:
        now = clocks.read(clock)
        if now >= target:
            return
        rest = target - now
        monotonic = machine.clock.monotonic_ns()
        deadline = monotonic + rest if rest < NEVER - monotonic else u64(NEVER)
        if not sleep_interruptibly(task, deadline):
            raise RestartUnlessHandled


@syscall(x86_64=219, arm64=128)
def restart_syscall() -> i64:
    """restart_syscall(2): go on with the sleep that a stop interrupted. Only the kernel makes programs call it."""
    task = machine.percpu.current()
    kind = task.restart_kind
    task.restart_kind = 0
    if kind == RESTART_NANOSLEEP:
        _relative(task.restart_deadline, task.restart_address)
        return i64(0)
    if kind == RESTART_FUTEX:
        from kaa.kernel.sched import futex_calls

        return futex_calls.restart(task)
    if kind == RESTART_POLL:
        from kaa.kernel.fs import poll

        return i64(poll.restart(task))
    raise InterruptedError
