# SPDX-License-Identifier: Apache-2.0
"""Wait queues: sleep until a condition holds.

The sleeper puts itself on the queue and marks itself sleeping (A), then looks at the condition for the last time (B);
the waker changes the condition (C), then looks at the queue (D). Of two processors each of which writes one thing and
then reads the other's, at least one must see the other's write, or a wake-up is lost; and no processor promises that by
itself, since a store may wait in a buffer while later loads go ahead. So there is a full barrier between A and B, in
`prepare` (core.set_state is one), and one between C and D, in whatever looks at the queue without its lock: `wake_one`,
`wake_all`, `has_waiters`. If the waker sees the sleeper, it takes the queue's lock, and with it sees the sleeper's
mark, which was made under that lock; if it does not, the sleeper's look comes after the change. It does not matter
which locks either of them holds, or whether it holds any.

A waker may be an interrupt handler. The condition is evaluated with the task marked as sleeping: should it sleep itself
(for a mutex, say), the task comes back as running and the loop simply goes round once more.

Who wakes a waiter does all of it under the queue's lock, and the sleeper takes that lock once more before it leaves
(`finish`): after that nobody knows it, and it may end. The queue itself must be kept by who wakes, as any object.

A sleeper that was chosen by `wake_one` and leaves for another reason (a signal, the time) passes the wake-up on to the
next (`give_up`): what it was woken for may still be there.

Waiters are linked through themselves and never counted: one stands on a queue only while its owner sleeps or polls, and
the owner takes it off before it lets it go. `exclusive` waiters (ordinary sleepers) are taken off the queue by the
`wake_one` that reaches them; the others (pollers) stay until they are removed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kaa.kernel.abi.restart import Restart
from kaa.kernel.arch import machine
from kaa.kernel.locking.waiters import Queue, Waiter
from kaa.lang import fence, inline, lock, noinline, u64

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

from kaa.kernel import signal  # noqa: E402  (rooms that know each other import modules, not names)
from kaa.kernel.sched import core  # noqa: E402


@lock
class WaitQueue(Queue):
    """Tasks that wait for one thing, in order of arrival. The queue is its own lock."""

    def __init__(self, name: str = "wait queue") -> None:
        super().__init__(name)

    @inline
    def has_waiters(self) -> bool:
        """Whether anyone stands here. A no means: whoever comes later sees what the caller wrote before asking."""
        fence()
        return self.first is not None

    def add(self, waiter: Waiter) -> None:
        """Put a poller on the queue; it stays until `remove`."""
        with self:
            if waiter.queue is None:
                self._link(waiter)

    def remove(self, waiter: Waiter) -> None:
        """Take a waiter off, if it is (still) on this queue."""
        with self:
            if waiter.queue is self:
                self._unlink(waiter)

    @inline
    def wake_one(self) -> None:
        """Wake every poller, and the sleeper that has waited longest. What they wait for was changed before."""
        fence()  # C | D
        if self.first is not None:
            self._wake(1)

    @inline
    def wake_all(self) -> None:
        """Wake everyone. What they wait for was changed before."""
        fence()  # C | D
        if self.first is not None:
            self._wake(0xFFFF_FFFF)

    @noinline
    def _wake(self, sleepers: u64) -> None:
        with self:
            left = sleepers
            waiter = self.first
            while waiter is not None and left > 0:
                following = waiter.next
                if waiter.exclusive:
                    self._unlink(waiter)
                    left -= 1
                waiter.notify()
                waiter = following

    @inline
    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Sleep until condition() holds; signals do not disturb."""
        if not condition():
            task = machine.percpu.current()
            waiter = self.begin(task)
            while True:
                self.prepare(waiter, task, core.UNINTERRUPTIBLE)
                if condition():
                    break
                core.schedule()
                if condition():
                    break
            self.finish(waiter, task)

    @inline
    def wait_interruptible(self, condition: Callable[[], bool]) -> None:
        """Sleep until condition() holds. Raises Restart when a signal comes first (the condition is looked at
        before)."""
        if not condition():
            self.stand_interruptible(condition)

    @inline
    def stand_interruptible(self, condition: Callable[[], bool]) -> None:
        """As wait_interruptible, for a condition that most likely does not hold, and is not cheap: it is not looked at
        before the task stands in the queue."""
        task = machine.percpu.current()
        waiter = self.begin(task)
        met = False
        try:
            while True:
                self.prepare(waiter, task, core.INTERRUPTIBLE)
                met = condition()
                if met:
                    break
                if signal.has_pending(task):
                    raise Restart
                core.schedule()
                met = condition()
                if met:
                    break
        finally:
            if met:
                self.finish(waiter, task)
            else:
                self.give_up(waiter, task)

    @inline
    def wait_interruptible_timeout(self, condition: Callable[[], bool], deadline_ns: u64) -> bool:
        """As wait_interruptible, but gives up at a monotonic time: False then, unless the condition holds."""
        if condition():
            return True
        task = machine.percpu.current()
        waiter = self.begin(task)
        met = False
        try:
            while True:
                self.prepare(waiter, task, core.INTERRUPTIBLE)
                met = condition()
                if met or machine.clock.monotonic_ns() >= deadline_ns:
                    break
                if signal.has_pending(task):
                    raise Restart
                core.schedule_until(deadline_ns)
        finally:
            if met:
                self.finish(waiter, task)
            else:
                self.give_up(waiter, task)
        return met

    @inline
    def wait_until_timeout(self, condition: Callable[[], bool], deadline_ns: u64) -> bool:
        """As wait_until, but gives up at a monotonic time: False then, unless the condition holds."""
        if condition():
            return True
        task = machine.percpu.current()
        waiter = self.begin(task)
        met = False
        while True:
            self.prepare(waiter, task, core.UNINTERRUPTIBLE)
            met = condition()
            if met or machine.clock.monotonic_ns() >= deadline_ns:
                break
            core.schedule_until(deadline_ns)
        if met:
            self.finish(waiter, task)
        else:
            self.give_up(waiter, task)
        return met

    @noinline
    def begin(self, task: Task) -> Waiter | None:
        """The caller's own waiter. None when it is in use already (a condition that waits): the sleep then becomes
        a series of yields, which is right if not cheap, and needs no memory."""
        waiter = task.waiter
        if waiter.exclusive:
            return None
        waiter.exclusive = True
        waiter.task = task
        return waiter

    @noinline
    def prepare(self, waiter: Waiter | None, task: Task, state: u64) -> None:
        """Stand in the queue, marked as sleeping: what happens from here on wakes the task."""
        if waiter is None:
            core.yield_now()
            return
        with self:
            if waiter.queue is None:
                self._link(waiter)
            waiter.woken = False
            core.set_state(task, state)  # a full barrier: A | B

    @noinline
    def finish(self, waiter: Waiter | None, task: Task) -> None:
        """Leave the queue, running: the condition was met. Takes the lock even if a waker has taken the waiter off: it
        may not be done with it."""
        core.set_state(task, core.RUNNING)
        if waiter is not None:
            self._leave(waiter)

    @noinline
    def give_up(self, waiter: Waiter | None, task: Task) -> None:
        """Leave the queue, running, although the condition was not met. A wake-up that chose this task goes on to the
        next: the condition may have come true after the last look at it."""
        core.set_state(task, core.RUNNING)
        if waiter is None:
            return
        if not self._leave(waiter):
            self.wake_one()

    @inline
    def _leave(self, waiter: Waiter) -> bool:
        """Take a sleeper off and let it be used again; says whether no waker had taken it off."""
        with self:
            stood = waiter.queue is self
            if stood:
                self._unlink(waiter)
            waiter.exclusive = False
        return stood
