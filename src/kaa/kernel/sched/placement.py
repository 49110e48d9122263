# SPDX-License-Identifier: Apache-2.0
"""Where a task that wants to run is to run.

Its last processor if that is idle (its cache is warm there); else the waker's; else any idle one; else the least
loaded. A real-time task goes where the least important task runs. `all.idle` and the other queues' counts are looked at
without their locks: they are hints, and balancing mends what they got wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.arch import machine
from kaa.kernel.sched import cpu
from kaa.kernel.sched.real_time import is_real_time
from kaa.kernel.sched.run_queue import LEVEL_IDLE, RunQueue
from kaa.lang import borrowed, inline, noinline, trailing_zeros, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task


@borrowed
def queue_of(number: u32) -> RunQueue:
    """The run queue of an active processor."""
    found = cpu.get(number)
    assert found is not None
    return found.run_queue


@inline
def allowed(task: Task) -> u64:
    """The active processors that a task may use; all, if those that it may use have gone."""
    active = cpu.all.active.load_relaxed()
    wanted = task.allowed & active
    return wanted if wanted != 0 else active


@inline
@borrowed
def choose(task: Task, last: RunQueue) -> RunQueue:
    """The run queue for `task`, which was on `last` before. Under the lock of `last`."""
    if cpu.all.active.load_relaxed() == 1:
        return last
    return _choose(task, last)


@noinline
@borrowed
def _choose(task: Task, last: RunQueue) -> RunQueue:
    mask = allowed(task)
    if is_real_time(task):
        return least_important(last, mask)
    idle = cpu.all.idle.load_relaxed() & mask
    if idle == 0:
        return _least_loaded(last, mask)
    here = machine.percpu.here().run_queue
    if (idle & last.bit) != 0:
        found = last
    elif (idle & here.bit) != 0:
        found = here
    else:
        found = queue_of(u32(trailing_zeros(idle)))
    cpu.all.idle.fetch_and(~found.bit)
    return found


@borrowed
def _least_loaded(last: RunQueue, mask: u64) -> RunQueue:
    """Where the fewest wait; `last` unless another is better."""
    rest = mask
    best = last if (mask & last.bit) != 0 else queue_of(u32(trailing_zeros(mask)))
    fewest = best.waiting.load_relaxed()
    while rest != 0 and fewest != 0:
        number = u32(trailing_zeros(rest))
        rest &= rest - 1
        queue = queue_of(number)
        count = queue.waiting.load_relaxed()
        if count < fewest:
            best = queue
            fewest = count
    return best


@borrowed
def least_important(last: RunQueue, mask: u64) -> RunQueue:
    """Where the least important task runs, `last` if that is as good."""
    best = last if (mask & last.bit) != 0 else queue_of(u32(trailing_zeros(mask)))
    lowest = best.level.load_relaxed()
    rest = mask
    while rest != 0 and lowest != LEVEL_IDLE:
        queue = queue_of(u32(trailing_zeros(rest)))
        rest &= rest - 1
        level = queue.level.load_relaxed()
        if level < lowest:
            best = queue
            lowest = level
    return best


@inline
def busy(queue: RunQueue) -> None:
    """The processor has something to do."""
    cpu.all.idle.fetch_and(~queue.bit)
