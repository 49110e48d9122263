# SPDX-License-Identifier: Apache-2.0
"""Waiting on several words at once (futex_waitv(2)): a waiter in each word's queue; the first to be taken off is told.

The words are looked at one after the other as their waiters stand: should one not be as expected, those that stand
already are taken back, unless one of them was woken meanwhile, which then is the result.
"""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.kernel.process.task import INTERRUPTIBLE, RUNNING, Task
from kaa.kernel.sched import core
from kaa.kernel.sched.futex import CHANGED, INTERRUPTED, NEVER, TIMED_OUT, enqueue_at
from kaa.kernel.sched.futex_queue import FutexWaiter, withdraw
from kaa.kernel.signal import has_pending
from kaa.lang import i64, u32, u64


class WaitSet:
    """The waiters of one call, their keys filled in, with their words' addresses and expected values."""

    waiters: list[FutexWaiter]
    buckets: list[u64]
    addresses: list[u64]
    expected: list[u32]
    standing: u64
    # What the wait ended with when none was woken.
    outcome: u32

    def __init__(self) -> None:
        self.waiters = []
        self.buckets = []
        self.addresses = []
        self.expected = []
        self.standing = 0
        self.outcome = 0

    def add(self, waiter: FutexWaiter, bucket: u64, address: u64, expected: u32) -> None:
        """One more word, whose waiter stands in that bucket. Raises MemoryError."""
        self.waiters.append(waiter)
        self.buckets.append(bucket)
        self.addresses.append(address)
        self.expected.append(expected)

    def wait(self, deadline: u64) -> i64:
        """The number of a word whose waiter was woken; -1: see `outcome`. Raises OSError(EFAULT)."""
        task = machine.percpu.current()
        self.outcome = u32(CHANGED)
        try:
            if self._stand(task):
                self._sleep(task, deadline)
        finally:
            woken = self._leave()
        return woken

    def _stand(self, task: Task) -> bool:
        for index in range(len(self.waiters)):
            waiter, bucket = self.waiters[index], self.buckets[index]
            if not enqueue_at(bucket, waiter, task, self.addresses[index], self.expected[index]):
                return False
            self.standing += 1
        return True

    def _leave(self) -> i64:
        """Take all back; gives the first that was woken, or -1."""
        woken = i64(-1)
        for index in range(self.standing):
            if not withdraw(self.waiters[index]) and woken < 0:
                woken = i64(index)
        return woken

    def _any_woken(self) -> bool:
        for index in range(self.standing):
            if not self.waiters[index].queued.load():
                return True
        return False

    def _sleep(self, task: Task, deadline: u64) -> None:
        while True:
            core.set_state(task, u64(INTERRUPTIBLE))
            if self._any_woken():
                break
            if has_pending(task):
                self.outcome = u32(INTERRUPTED)
                break
            if deadline == NEVER:
                core.schedule()
            elif machine.clock.monotonic_ns() >= deadline:
                self.outcome = u32(TIMED_OUT)
                break
            else:
                core.schedule_until(deadline)
        core.set_state(task, u64(RUNNING))
