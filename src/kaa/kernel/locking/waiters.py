# SPDX-License-Identifier: Apache-2.0
"""Waiters, and the lists that they stand on, linked through themselves and never counted.

A waiter stands on a list only while its owner sleeps or polls, and the owner takes it off before it lets it go; so
whatever is on a list is alive. `Line` is the queue of a sleeping lock (first come, first served), `Queue` a wait
queue's; each is its own lock. Who takes a waiter off a list and wakes its task does both under that lock, and the task
takes the lock once more before it goes on: from then on nobody else knows the waiter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.spin_word import SpinWord
from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.lang import Atomic, Guarded, Relaxed, acquires, inline, lock, releases, u32, u64
from kaa.lang.unsafe import Unowned, address_of

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

from kaa.kernel.sched import core  # noqa: E402  (rooms that know each other import modules, not names)

OWNER_LOOKS: Final = 16
"""Who spins asks, each time that it has looked at the lock so often, whether the owner still runs: what says so lies
beside what the owner's processor writes all the time."""


class Waiter:
    """A place in a wait queue: made by each task for itself, or one per polled queue. `notify` may be overridden."""

    task: Guarded[Unowned[Task | None], "Queue | Line | current()"] = None
    queue: Guarded[Unowned[Queue | None], "Queue | Line | current()"] = None
    next: Guarded[Unowned[Waiter | None], "Queue | Line | current()"] = None
    previous: Guarded[Unowned[Waiter | None], "Queue | Line | current()"] = None
    exclusive: Guarded[bool, "Queue | Line | current()"] = False
    woken: Relaxed[bool] = False
    """Set by the waker; cleared by who waits, before it looks at what it waits for."""

    def __init__(self, task: Task | None = None) -> None:
        self.task = task

    def owner_word(self) -> u64:
        """What machine.running.word() is to the waiting task."""
        task = self.task
        assert task is not None
        return address_of(task)

    def notify(self) -> None:
        """Called under the queue's lock, maybe in an interrupt, when the queue is woken. Must neither sleep nor
        wait."""
        self.woken = True
        self.wake()

    def wake(self) -> None:
        """Let the task, if there is one, look again."""
        task = self.task
        if task is not None:
            core.wake(task)


@lock
class Queue(IrqSpinLock):
    """Waiters in order of arrival, any of which may leave; under the queue itself as lock."""

    first: Guarded[Relaxed[Unowned[Waiter | None]], "self"] = None
    last: Guarded[Unowned[Waiter | None], "self"] = None

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


class Line(SpinWord):
    """The tasks waiting for one sleeping lock, first come first served. The line is its own lock (the inherited word),
    which only contended paths take."""

    spinning: Atomic[u32]
    """1 while a task spins for the sleeping lock instead of standing here: one at a time."""
    first: Guarded[Unowned[Waiter | None], "self"] = None
    last: Guarded[Unowned[Waiter | None], "self"] = None

    def __init__(self) -> None:
        super().__init__()
        self.spinning = Atomic(0)

    @acquires("spin")
    def lock_line(self) -> None:
        """Nobody else changes the line until `unlock_line`. Preemption is off meanwhile."""
        machine.percpu.preempt_disable()
        self.take_word()

    @releases
    def unlock_line(self) -> None:
        """After lock_line."""
        self.give_word()
        machine.percpu.preempt_enable()

    def stand(self, waiter: Waiter, task: Task, exclusive: bool) -> None:
        """Put `task` at the end, as `waiter`, with the line locked."""
        waiter.woken = False
        waiter.exclusive = exclusive
        waiter.task = task
        last = self.last
        waiter.next = None
        if last is None:
            self.first = waiter
        else:
            last.next = waiter
        self.last = waiter

    def pop(self) -> Waiter | None:
        """Take the first away, with the line locked."""
        first = self.first
        if first is not None:
            following = first.next
            self.first = following
            if following is None:
                self.last = None
            first.next = None
        return first
