# SPDX-License-Identifier: Apache-2.0
"""Sequence counts: readers that never write, never wait for long, and look again when a writer came between.

    while True:
        start = count.begin()
        … copy what it guards …
        if not count.changed(start):
            break

What is guarded is numbers, read one by one: a reader may see some old and some new, and must not act on them before
`changed` has said no. No references: one that was read may be gone already (that is what `Rcu` fields are for).
`SeqCount` leaves it to the caller that there is one writer at a time, which is not preempted, nor interrupted by a
reader on its own processor (who would spin for ever); `SeqLock` sees to all of that.

The count is odd while somebody writes. Order: begin's load acquires, and the fence in `changed` keeps the reads before
the second look; the writer's first increment is visible before its writes, which are visible before its second.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.lang import Atomic, acquire_fence, inline, release_fence, u32, wrapping_add


class SeqCount:
    """The count alone."""

    sequence: Atomic[u32]

    def __init__(self) -> None:
        self.sequence = Atomic(0)

    @inline
    def begin(self) -> u32:
        """Start reading; spins while somebody writes."""
        while True:
            start = self.sequence.load_acquire()
            if start & 1 == 0:
                return start
            machine.irq.relax()

    @inline
    def changed(self, start: u32) -> bool:
        """Whether what was read since begin() gave `start` is worth nothing."""
        acquire_fence()
        return self.sequence.load_relaxed() != start

    @inline
    def begin_write(self) -> None:
        """What follows is not to be believed until end_write."""
        self.sequence.store_relaxed(wrapping_add(u32(self.sequence.load_relaxed()), 1))
        release_fence()

    @inline
    def end_write(self) -> None:
        """After begin_write."""
        self.sequence.store_release(wrapping_add(u32(self.sequence.load_relaxed()), 1))


class SeqLock(SeqCount):
    """A count and the lock of its writers, with interrupts off, so that interrupt handlers may read."""

    lock: Final[IrqSpinLock]

    def __init__(self, name: str = "seqlock") -> None:
        super().__init__()
        self.lock = IrqSpinLock(name)

    @contextmanager
    def write(self) -> Generator[None, None, None]:
        """`with seqlock.write():`"""
        with self.lock:
            self.begin_write()
            try:
                yield
            finally:
                self.end_write()
