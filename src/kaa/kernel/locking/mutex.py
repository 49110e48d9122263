# SPDX-License-Identifier: Apache-2.0
"""Mutex: mutual exclusion among tasks that may sleep while they hold it.

One word says whether it is held and whether anyone waits; free and uncontended, taking and giving it back is one
compare-and-exchange each. A mutex that has waiters is handed to the first of them and never becomes free in between, so
nobody starves. The queues of all sleeping locks share one spinlock, `sleepers`, which only contended paths take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.locking.waiters import Line, Waiter
from kaa.kernel.sched import core
from kaa.lang import Atomic, inline, noinline, u32

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

HELD: Final = 1
WAITED_FOR: Final = 2

sleepers = SpinLock("sleeping locks' queues")


def sleep_until_granted(waiter: Waiter, task: Task) -> None:
    """Sleep until a releasing task has set waiter.woken. Called with `sleepers` held, and gives it back."""
    waiter.task = task
    core.set_state(task, core.UNINTERRUPTIBLE)
    sleepers.release()
    while not waiter.woken:
        core.schedule()
        with sleepers:
            if not waiter.woken:
                core.set_state(task, core.UNINTERRUPTIBLE)
    core.set_state(task, core.RUNNING)


class Mutex(Line):
    """A sleeping lock with one owner. Never in interrupts, never under a spinlock."""

    state: Atomic[u32]

    def __init__(self, name: str = "mutex") -> None:
        self.state = Atomic(0)

    @inline
    def acquire(self) -> None:
        """Take the mutex, sleeping (signals do not disturb) while someone else has it."""
        if not self.state.compare_exchange(0, HELD):
            self._acquire_slowly()

    @inline
    def try_acquire(self) -> bool:
        """Take the mutex if it is free."""
        return self.state.compare_exchange(0, HELD)

    @inline
    def release(self) -> None:
        """Give the mutex to the first waiter, or back."""
        if not self.state.compare_exchange(HELD, 0):
            self._hand_over()

    def is_held(self) -> bool:
        """Whether someone has it: for assertions."""
        return self.state.load_relaxed() != 0

    @noinline
    def _acquire_slowly(self) -> None:
        task = machine.percpu.current()
        waiter = task.lock_waiter
        sleepers.acquire()
        if self.state.fetch_or(HELD | WAITED_FOR) & HELD == 0:
            # Given back meanwhile: with waiters it would have been handed over, so there are none.
            self.state.store(HELD)
            sleepers.release()
            return
        waiter.woken = False
        self.push(waiter)
        sleep_until_granted(waiter, task)

    @noinline
    def _hand_over(self) -> None:
        with sleepers:
            waiter = self.pop()
            assert waiter is not None
            if self.first is None:
                self.state.store(HELD)
            waiter.notify()

    @inline
    def __enter__(self) -> None:
        self.acquire()

    @inline
    def __exit__(self, *exc: object) -> None:
        self.release()
