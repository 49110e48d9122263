# SPDX-License-Identifier: Apache-2.0
"""Balance between processors, each move under one run queue's lock at a time (moving.py).

Whoever becomes idle takes a waiting task from the longest queue (`help_others`). A processor with a queue looks every
PERIOD whether another is idle, or has so much less to do that moving one task makes the heavier of the two lighter
(`relieve`); it gives the task away itself. So nobody is woken to look for work that is not there.

What a processor has to do is the sum of its tasks' weights. A real-time task that waits goes where something less
important runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.kernel.sched import cpu, moving, placement
from kaa.kernel.sched.links import as_task
from kaa.kernel.sched.real_time import is_real_time
from kaa.kernel.sched.run_queue import LEVEL_FAIR, RunQueue
from kaa.kernel.time.timer_queue import GRID
from kaa.lang import borrowed, noinline, trailing_zeros, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

PERIOD: Final = 8_000_000
"""ns between looks of a processor with a queue."""
LOOKED_AT: Final = 32
"""Tasks looked at for one that may be moved."""


turn = IrqSpinLock("balance")
"""Held by who relieves itself, one at a time: processors tick together, and would all choose the same one to send
to."""


def help_others(queue: RunQueue) -> None:
    """Take a task that waits elsewhere: in the idle task, interrupts on."""
    others = cpu.all.active.load_relaxed() & ~queue.bit
    if others != 0:
        _take_from(_longest(others), queue)


@borrowed
def _longest(mask: u64) -> RunQueue:
    rest = mask
    best = placement.queue_of(u32(trailing_zeros(mask)))
    while rest != 0:
        candidate = placement.queue_of(u32(trailing_zeros(rest)))
        rest &= rest - 1
        if candidate.waiting.load_relaxed() > best.waiting.load_relaxed():
            best = candidate
    return best


def _take_from(victim: RunQueue, queue: RunQueue) -> None:
    if victim.waiting.load_relaxed() == 0:
        return
    flags = machine.irq.save()
    victim.lock.acquire()
    task = _movable(victim, queue)
    if task is None:
        victim.lock.release()
    else:
        victim.take_away(task)
        moving.send(victim, task, queue)
    machine.irq.restore(flags)


@borrowed
def _movable(victim: RunQueue, target: RunQueue) -> Task | None:
    """A waiting task of `victim` that may run on `target`, which is idle."""
    node = victim.first()
    looked = 0
    while node is not None and looked < LOOKED_AT:
        task = as_task(node)
        if (task.allowed & target.bit) != 0:
            return task
        node = victim.after(node)
        looked += 1
    return None


@noinline
def relieve(queue: RunQueue, now: u64) -> None:
    """In the timer interrupt of a processor where tasks wait: give one away if that helps. When another is about it,
    at the next tick."""
    others = cpu.all.active.load_relaxed() & ~queue.bit
    if others == 0 or now + GRID // 2 < queue.balanced + PERIOD or not turn.try_acquire():
        return
    queue.balanced = now
    _give_away(queue, others)
    turn.release()


def _give_away(queue: RunQueue, others: u64) -> None:
    queue.lock.acquire()
    node = queue.first()
    looked = 0
    while node is not None and looked < LOOKED_AT:
        task = as_task(node)
        target = _better(task, queue, task.allowed & others)
        if target is not queue:
            queue.take_away(task)
            moving.send(queue, task, target)
            return
        node = queue.after(node)
        looked += 1
    queue.lock.release()


@borrowed
def _better(task: Task, queue: RunQueue, mask: u64) -> RunQueue:
    """Where a waiting task would be better off, of those in `mask`; `queue` if nowhere."""
    if is_real_time(task):
        found = placement.least_important(queue, mask | queue.bit)
        return found if found.level.load_relaxed() < LEVEL_FAIR + task.rt_priority else queue
    best = queue
    least = queue.burden() - task.weight
    rest = mask
    while rest != 0:
        candidate = placement.queue_of(u32(trailing_zeros(rest)))
        rest &= rest - 1
        burden = candidate.burden()
        if burden < least:
            best = candidate
            least = burden
    return best
