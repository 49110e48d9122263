# SPDX-License-Identifier: Apache-2.0
"""System calls that wait for signals: pause, sigsuspend, sigtimedwait."""

from __future__ import annotations

import errno

from kaa.kernel.abi.restart import RestartUnlessHandled
from kaa.kernel.abi.signal import KILL_AND_STOP, SigInfo, UserSigInfo
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.abi.time import Timespec
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process.task import INTERRUPTIBLE, Task
from kaa.kernel.sched import core
from kaa.kernel.signal import deliver, has_pending, send
from kaa.lang import i32, trailing_zeros, u64, usize


@syscall(x86_64=34)
def pause() -> None:
    """pause(2): sleep until a handler has run."""
    _sleep_for_signal(machine.percpu.current())


@syscall(x86_64=130, arm64=133)
def rt_sigsuspend(mask: UserPtr[u64], size: usize) -> None:
    """sigsuspend(2): sleep with another mask until a handler has run."""
    if size != 8:
        raise OSError(errno.EINVAL)
    task = machine.percpu.current()
    deliver.block_until_return(task, mask.read())
    _sleep_for_signal(task)


def _sleep_for_signal(task: Task) -> None:
    while not has_pending(task):
        core.set_state(task, u64(INTERRUPTIBLE))
        if has_pending(task):
            break
        core.schedule()
    core.set_state(task, u64(0))
    raise RestartUnlessHandled


@syscall(x86_64=128, arm64=137)
def rt_sigtimedwait(mask: UserPtr[u64], info: UserPtr[UserSigInfo], timeout: UserPtr[Timespec], size: usize) -> i32:
    """sigtimedwait(2): take one of a set of (blocked) signals, waiting for it."""
    if size != 8:
        raise OSError(errno.EINVAL)
    wanted = mask.read() & ~u64(KILL_AND_STOP)
    deadline: u64 = u64(0xFFFF_FFFF_FFFF_FFFF)
    if not timeout.is_null():
        deadline = timeout.read().deadline(machine.clock.monotonic_ns())
    got = UserSigInfo()
    signo = _wait_for(machine.percpu.current(), wanted, deadline, got.info)
    if not info.is_null():
        info.write_from(got)
    return signo


def _wait_for(task: Task, wanted: u64, deadline: u64, into: SigInfo) -> i32:
    """Take one of `wanted`. Raises OSError(EAGAIN) at the deadline, InterruptedError for another signal."""
    while True:
        signo = take(task, wanted, into)
        if signo != 0:
            return signo
        if machine.clock.monotonic_ns() >= deadline:
            raise BlockingIOError
        if has_pending(task):
            raise InterruptedError
        _sleep_wanting(task, wanted, deadline)


def _sleep_wanting(task: Task, wanted: u64, deadline: u64) -> None:
    """Sleep until a wanted signal, any other that is not blocked, or the deadline."""
    group = task.group
    with group.signal_lock:
        task.waited_for = wanted
        core.set_state(task, u64(INTERRUPTIBLE))
        ready = ((task.pending.mask | group.pending.mask) & (wanted | ~task.blocked)) != 0
    if ready or has_pending(task):
        core.set_state(task, u64(0))
    else:
        core.schedule_until(deadline)
    with group.signal_lock:
        task.waited_for = 0
        send.recalculate(task)


def take(task: Task, wanted: u64, into: SigInfo) -> i32:
    """Take the lowest pending signal of `wanted`, the thread's own first; 0 when there is none."""
    group = task.group
    with group.signal_lock:
        pending = task.pending
        found = pending.mask & wanted
        if found == 0:
            pending = group.pending
            found = pending.mask & wanted
        if found == 0:
            return i32(0)
        signo = i32(trailing_zeros(found)) + 1
        entry = pending.take(signo, into)
        if entry is not None:
            from kaa.kernel.time import posix_timer

            posix_timer.taken(entry, into)
        send.recalculate(task)
        return signo
