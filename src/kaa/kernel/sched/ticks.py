# SPDX-License-Identifier: Apache-2.0
"""The scheduler's part of the timer interrupt: slices, samples of what time is spent on, balance.

There is no periodic tick. A processor that runs something asks to be called at the end of the running task's slice if
others wait, otherwise every LONE_TICK; an idle one is not called (but for a deadline that was set while it was busy).
All this is as exact as timer_queue.GRID, but where a task that asked for short slices is given the processor while
others wait.
Each call charges the time since the last one to user or system, whichever was interrupted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.sched import balance, core, fair, load, seeded
from kaa.kernel.sched.fair import SLICE
from kaa.kernel.sched.real_time import is_real_time
from kaa.kernel.sched.run_queue import RunQueue
from kaa.kernel.time.timer_queue import GRID, NEVER, coarse
from kaa.lang import cold, u64

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

SHORTEST: Final = 500_000
"""ns between ticks at least, for a task that asks for slices of the usual length."""
SHORTEST_EXACT: Final = 50_000
"""The same for one that asked for shorter slices."""


def tick(now: u64) -> None:
    """In the timer interrupt, with interrupts off."""
    queue = machine.percpu.here().run_queue
    if queue.timers.tick > now:
        return
    queue.lock.acquire()
    queue.timers.tick = NEVER
    running = machine.percpu.current()
    if running is queue.idle:
        queue.lock.release()
        return
    queue.account(running, now)
    _sample(queue, running)
    waiting = queue.waiting.load_relaxed()
    if waiting == 0:
        queue.timers.tick = coarse(now + core.LONE_TICK)
    else:
        if queue.is_used_up(running, now):
            machine.percpu.set_need_resched()
        queue.timers.tick = _end_of_slice(running, now)
    if queue.chance != 0:
        seeded.tick(queue, now)
    timed = running.group.cpu_timers.load_relaxed() != 0
    queue.lock.release()
    if timed:
        _check_cpu_timers(queue, now)
    load.sample(now)
    if waiting != 0:
        balance.relieve(queue, now)


def _end_of_slice(running: Task, now: u64) -> u64:
    if is_real_time(running):
        return coarse(now + SLICE)
    left = min(fair.unserved_ns(running), u64(SLICE))
    if running.slice_ns < SLICE:
        return now + max(u64(SHORTEST_EXACT), left)
    end = coarse(now + left)
    return end if end >= now + SHORTEST else end + GRID


def _sample(queue: RunQueue, running: Task) -> None:
    """Charge what was run since the last sample."""
    spent = running.run_time - running.sampled
    running.sampled = running.run_time
    if not machine.percpu.interrupted_user():
        running.system_ns += spent
        queue.system_ns += spent
    elif running.nice > 0:
        queue.nice_ns += spent


@cold
def _check_cpu_timers(queue: RunQueue, now: u64) -> None:
    from kaa.kernel.time import cpu_timer

    queue.timers.tick_by(now, u64(SLICE))
    cpu_timer.check()


def want_tick() -> None:
    """A processor-time timer of the running task was set: look at it a slice from now."""
    flags = machine.irq.save()
    queue = machine.percpu.here().run_queue
    queue.lock.acquire()
    queue.timers.tick_by(machine.clock.monotonic_ns(), u64(SLICE))
    queue.lock.release()
    machine.irq.restore(flags)
