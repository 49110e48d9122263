# SPDX-License-Identifier: Apache-2.0
"""Schedules that vary with a seed: `kaa.schedule_seed=N` on the command line, to look for races.

With a seed, each processor has a generator of its own that decides what time and chance decide otherwise: when the next
tick comes (after 2 to 256 us, so that preemption falls on any instruction, or on the end of the section that has it
off), whether a tick or a wake-up takes the processor from the running task, which of the waiting fair tasks is next,
and where a woken task runs. Priorities hold: real-time tasks go first as ever, and nobody runs where it must not.

Under icount (`./kaa run --icount`) time is a count of instructions, so that one seed always gives the same interleaving
and another seed another. Without a seed `RunQueue.chance` is 0, which is all that is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.init.command_line import boot_param, number
from kaa.kernel.sched import cpu, placement
from kaa.kernel.sched.fair import FairQueue
from kaa.kernel.sched.links import as_task
from kaa.kernel.sched.run_queue import LEVEL_FAIR, LEVEL_IDLE, RunQueue
from kaa.kernel.sched.tree import following
from kaa.lang import Bytes, borrowed, noinline, popcount, trailing_zeros, u32, u64, wrapping_mul

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

# xorshift64* (Marsaglia, "Xorshift RNGs", 2003; Vigna, "An experimental exploration of Marsaglia's xorshift
# generators", 2016), and the increment of SplitMix (Steele, Lea and Flood, 2014) to tell processors apart.
MULTIPLIER: Final = 0x2545_F491_4F6C_DD1D
GOLDEN: Final = 0x9E37_79B9_7F4A_7C15

SOONEST: Final = 2_000
"""ns to a tick at least: the interrupt itself takes about half of that under icount."""
DOUBLINGS: Final = 7
LOOKED_AT: Final = 4
"""Waiting tasks among which the next one is chosen."""


class Seed:
    """What the command line says; 0: schedules are as they should be."""

    value: u64

    def __init__(self) -> None:
        self.value = 0


seed = Seed()


@boot_param("kaa.schedule_seed")
def _set_seed(value: Bytes) -> None:
    seed.value = u64(number(value))
    prepare(cpu.boot.run_queue)


def prepare(queue: RunQueue) -> None:
    """Give a processor's queue its generator."""
    if seed.value != 0:
        state = wrapping_mul(seed.value, u64(GOLDEN)) ^ wrapping_mul(u64(queue.number) + 1, u64(MULTIPLIER))
        queue.chance = state if state != 0 else u64(1)


def draw(queue: RunQueue) -> u64:
    """The next number, 32 bits. Under the queue's lock."""
    state = queue.chance
    state ^= state >> 12
    state ^= wrapping_mul(state, u64(1 << 25))
    state ^= state >> 27
    queue.chance = state
    return wrapping_mul(state, u64(MULTIPLIER)) >> 32


def ticks_after(queue: RunQueue) -> u64:
    """ns to the next tick."""
    word = draw(queue)
    return (u64(SOONEST) + (word >> 8) % SOONEST) << (word % DOUBLINGS)


@noinline
def begin(queue: RunQueue, now: u64) -> None:
    """A task runs from now on: for how long?"""
    if queue.level.load_relaxed() != LEVEL_IDLE:
        queue.timers.set_tick(now + ticks_after(queue))


@noinline
def tick(queue: RunQueue, now: u64) -> None:
    """In a tick: does the running task go on, if a fair one? And when is the next?"""
    queue.timers.tick = now + ticks_after(queue)
    if queue.level.load_relaxed() == LEVEL_FAIR and draw(queue) & 1 != 0:
        machine.percpu.set_need_resched()


@noinline
def is_urgent(queue: RunQueue, task: Task, urgent: bool) -> bool:
    """Does a woken task preempt? As it should be where the idle task or a real-time task is part of it."""
    if task.rt_priority != 0 or queue.level.load_relaxed() != LEVEL_FAIR:
        return urgent
    return draw(queue) & 1 != 0


@borrowed
def choose(fair: FairQueue, queue: RunQueue) -> Task | None:
    """One of the fair tasks that wait."""
    node = fair.first()
    for _ in range(draw(queue) % LOOKED_AT):
        after = None if node is None else following(node)
        if after is None:
            break
        node = after
    return None if node is None else as_task(node)


@borrowed
def place(task: Task, last: RunQueue) -> RunQueue:
    """Any processor that the task may use. Under the lock of `last`."""
    mask = placement.allowed(task)
    for _ in range(draw(last) % u64(popcount(mask))):
        mask &= mask - 1
    return placement.queue_of(u32(trailing_zeros(mask)))
