# SPDX-License-Identifier: Apache-2.0
"""Load averages (getloadavg(3), proc_loadavg(5)): how many tasks run, want to, or sleep uninterruptibly, averaged.

Every 5 seconds a sample is folded into three exponentially decaying averages with time constants of 1, 5 and 15
minutes, in fixed point. No timer wakes an idle machine for it: the ticks of busy processors do it, and who reads the
averages makes up for the samples that fell into idle time, in which nothing ran.
"""

from __future__ import annotations

import math
from typing import Final

from kaa.kernel.locking.spinlock import LeafLock
from kaa.kernel.sched import cpu
from kaa.lang import Array, Atomic, Guarded, Relaxed, i64, u64

INTERVAL: Final = 5_000_000_000
SHIFT: Final = 16
"""Fractional bits: sysinfo(2) has as many."""
ONE: Final = 1 << SHIFT
MINUTES: Final = (1, 5, 15)
LONGEST_GAP: Final = 720
"""Samples made up for at most: an hour; after that, averages are what is left of nothing."""

DECAY = Array[u64, 3]()
for _index, _minutes in enumerate(MINUTES):
    DECAY[_index] = round(ONE * math.exp(-5 / (60 * _minutes)))


class LoadAverage:
    """The three averages, and when the next sample is due: written under `lock`, looked at without it."""

    lock: Final[LeafLock]
    averages: Array[Atomic[u64], 3]
    due: Guarded[Relaxed[u64], "lock"]

    def __init__(self) -> None:
        self.lock = LeafLock("load average")
        self.averages = Array[Atomic[u64], 3]()
        self.due = INTERVAL

    def fold(self, active: u64) -> None:
        """Take one sample in."""
        for index in range(3):
            decay = DECAY[index]
            kept = self.averages[index].load_relaxed() * decay
            self.averages[index].store_relaxed((kept + active * (ONE - decay) * ONE + ONE // 2) >> SHIFT)

    def catch_up(self, now: u64, active: u64) -> None:
        """Take in the samples that are due: idle time's, and one of `active` tasks."""
        self.lock.acquire()
        due = self.due
        if now >= due:
            missed = (now - due) // INTERVAL
            for _ in range(min(missed, u64(LONGEST_GAP))):
                self.fold(u64(0))
            self.fold(active)
            self.due = due + (missed + 1) * INTERVAL
        self.lock.release()


state = LoadAverage()


def runnable() -> u64:
    """Tasks that run or want to, by the queues' counts."""
    total: u64 = u64(0)
    for found in cpu.every():
        queue = found.run_queue
        total += u64(queue.waiting.load_relaxed()) + (1 if queue.level.load_relaxed() != 0 else 0)
    return total


def blocked() -> u64:
    """Tasks that sleep uninterruptibly."""
    total: i64 = i64(0)
    for found in cpu.every():
        total += found.run_queue.blocked
    return u64(max(total, i64(0)))


def sample(now: u64) -> None:
    """In a tick: is a sample due?"""
    if now >= state.due:
        state.catch_up(now, runnable() + blocked())


def average(index: u64, now: u64) -> u64:
    """One of the three, in 1/65536."""
    if now >= state.due:
        state.catch_up(now, runnable() + blocked())
    return state.averages[index].load_relaxed()
