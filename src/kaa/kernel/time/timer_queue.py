# SPDX-License-Identifier: Apache-2.0
"""A processor's timers in order of deadline, and what its timer hardware was last told.

`lock` guards the heap and, of each timer whose `home` this queue is, `armed`, `key` and `home` itself. It is held for
a few instructions only, never while a callback runs. `tick` and `programmed` are the processor's own: they are changed
there with interrupts off (`tick` under the run queue's lock besides, so that other processors may look).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.sched.heap import Heap
from kaa.kernel.sched.queue_lock import QueueLock
from kaa.lang import Guarded, PerCpu, Relaxed, inline, u64

if TYPE_CHECKING:
    from kaa.kernel.time.timer import Timer

NEVER: Final = 0xFFFF_FFFF_FFFF_FFFF
FARTHEST: Final = 1 << 61
"""73 years: the hardware is not told of deadlines beyond, which need not fit its clock."""
GRID: Final = 4_000_000
"""ns between the moments at which processors tick, all at once."""


@inline
def coarse(deadline: u64) -> u64:
    """The moment of the grid that is nearest. What need not be exact is done there: one interrupt then serves several
    ends, and a hypervisor, which sleeps on behalf of all processors, is woken once for all of them."""
    return (deadline + GRID // 2) // GRID * GRID


class TimerQueue:
    """One processor's armed timers."""

    lock: Final[QueueLock]
    heap: Final[Heap]
    running: Guarded[Timer | None, "TimerQueue.lock"]
    """Whose callback runs now. Kept alive by this."""
    tick: PerCpu[Relaxed[u64]]
    """The scheduler's own deadline, kept beside the heap because it moves so often. NEVER: none."""
    programmed: PerCpu[u64]
    """What the hardware will interrupt at. NEVER: nothing."""

    def __init__(self) -> None:
        self.lock = QueueLock("timers")
        self.heap = Heap()
        self.running = None
        self.tick = NEVER
        self.programmed = NEVER

    def first(self) -> u64:
        """The earliest deadline of all. Under the lock."""
        root = self.heap.root
        if root is None:
            return self.tick
        return min(root.key, self.tick)

    def program(self) -> None:
        """Let the hardware interrupt at the earliest deadline: on the queue's processor, under the lock. A deadline
        that has moved away is left to fire in vain: cheaper than telling the hardware each time."""
        first = self.first()
        if first < self.programmed and first < FARTHEST:
            self.programmed = first
            machine.clock.set_deadline(first)

    @inline
    def set_tick(self, deadline: u64) -> None:
        """The scheduler wants to be called at `deadline`; on the queue's processor."""
        self.tick = deadline
        if deadline < self.programmed:
            self.programmed = deadline
            machine.clock.set_deadline(deadline)

    @inline
    def ticks_by(self, now: u64, ahead: u64) -> bool:
        """Whether the scheduler will be called `ahead` from now or before, give or take half a step of the grid."""
        return self.tick <= now + (ahead + GRID // 2)

    @inline
    def tick_by(self, now: u64, ahead: u64) -> None:
        """The scheduler wants to be called `ahead` from now or before, as ticks_by means it; on the queue's
        processor."""
        if not self.ticks_by(now, ahead):
            self.set_tick(coarse(now + ahead))

    @inline
    def tick_exactly_by(self, deadline: u64) -> None:
        """At `deadline` or before, for those who asked for short slices."""
        if self.tick > deadline:
            self.set_tick(deadline)

    def run_expired(self, now: u64) -> None:
        """Take out and run what is due; on the queue's processor, interrupts off, without the lock."""
        while True:
            first = self._take_first(now)
            if first is None:
                return
            first.expired()
            self._finished(first)

    def _take_first(self, now: u64) -> Timer | None:
        """Take the first out if it is due: it is running from now on."""
        from kaa.kernel.time.timer import Timer

        self.lock.acquire()
        first = self.heap.root
        if first is None or first.key > now:
            self.lock.release()
            return None
        self.heap.remove(first)
        assert isinstance(first, Timer)
        first.armed = False
        self.running = first
        self.lock.release()
        return first

    def _finished(self, timer: Timer) -> None:
        """Its callback has ended. The caller has a reference, so that the last one does not go under the lock."""
        self.lock.acquire()
        assert self.running is timer
        self.running = None
        self.lock.release()

    def interrupted(self) -> None:
        """The hardware fired and is silent now; tell it the next deadline."""
        self.programmed = NEVER
        self.lock.acquire()
        self.program()
        self.lock.release()
