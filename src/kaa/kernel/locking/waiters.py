# SPDX-License-Identifier: Apache-2.0
"""Waiters, and the lists that they stand on, linked through themselves and never counted.

A waiter stands on a list only while its owner sleeps or polls, and the owner takes it off before it lets it go; so
whatever is on a list is alive. `Line` is the queue of a sleeping lock (first come, first served), under
mutex.sleepers; `Queue` is a wait queue's, under its own lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.lang import inline
from kaa.lang.unsafe import Unowned

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

from kaa.kernel.sched import core  # noqa: E402  (rooms that know each other import modules, not names)


class Waiter:
    """A place in a wait queue: made by each task for itself, or one per polled queue. `notify` may be overridden."""

    task: Unowned[Task | None] = None
    queue: Unowned[Queue | None] = None
    next: Unowned[Waiter | None] = None
    previous: Unowned[Waiter | None] = None
    exclusive: bool = False
    woken: bool = False
    """Set by the waker; cleared by who waits."""

    def __init__(self, task: Task | None = None) -> None:
        self.task = task

    def notify(self) -> None:
        """Called under the queue's lock, maybe in an interrupt, when the queue is woken. Must neither sleep nor
        wait."""
        self.woken = True
        task = self.task
        if task is not None:
            core.wake(task)


class Queue(IrqSpinLock):
    """Waiters in order of arrival, any of which may leave; under the queue itself as lock."""

    first: Unowned[Waiter | None] = None
    last: Unowned[Waiter | None] = None

    @inline
    def _link(self, waiter: Waiter) -> None:
        last = self.last
        waiter.queue = self
        waiter.previous = last
        waiter.next = None
        if last is None:
            self.first = waiter
        else:
            last.next = waiter
        self.last = waiter

    @inline
    def _unlink(self, waiter: Waiter) -> None:
        following, previous = waiter.next, waiter.previous
        if previous is None:
            self.first = following
        else:
            previous.next = following
        if following is None:
            self.last = previous
        else:
            following.previous = previous
        waiter.queue = None
        waiter.next = None
        waiter.previous = None


class Line:
    """The tasks waiting for one sleeping lock, first come first served; under mutex.sleepers."""

    first: Unowned[Waiter | None] = None
    last: Unowned[Waiter | None] = None

    def push(self, waiter: Waiter) -> None:
        """Stand at the end."""
        last = self.last
        waiter.next = None
        if last is None:
            self.first = waiter
        else:
            last.next = waiter
        self.last = waiter

    def pop(self) -> Waiter | None:
        """Take the first away."""
        first = self.first
        if first is not None:
            following = first.next
            self.first = following
            if following is None:
                self.last = None
            first.next = None
        return first
