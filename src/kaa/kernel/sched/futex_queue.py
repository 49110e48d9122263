# SPDX-License-Identifier: Apache-2.0
"""Where futex waiters stand: buckets, each a spinlock with the waiters whose keys hash alike, in order of arrival, and
the states of their priority-inheritance locks (`futex_pi`).

A waiter is found by its own bucket number, which changes, when it is moved to another word, under both locks. Two
buckets are taken in order of their numbers (`PairOfBuckets`). `queued` falls under the lock and is looked at without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.process.task import Task
from kaa.kernel.sched import core
from kaa.kernel.sched.futex_key import BUCKETS, FutexKey
from kaa.lang import Atomic, Guarded, Relaxed, borrowed, cold, inline, noinline, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.sched.futex_pi_state import PiState


class FutexWaiter:
    """A task's place in a bucket, and in the line of a priority-inheritance lock. Each task has one, made with its
    first wait; futex_waitv(2) makes one for each word."""

    key: Guarded[FutexKey, "Bucket | current()"]
    bitset: Guarded[u32, "Bucket | current()"]
    queued: Atomic[bool]
    task: Guarded[Task | None, "Bucket | current()"]
    bucket: Guarded[Relaxed[u64], "Bucket"]
    next: Guarded[FutexWaiter | None, "Bucket | current()"]
    previous: Guarded[FutexWaiter | None, "Bucket | current()"]
    # FUTEX_WAIT_REQUEUE_PI: the lock that it wants to be moved to; and whether it has been.
    target: Guarded[FutexKey | None, "Bucket | current()"]
    moved: Guarded[bool, "Bucket | current()"]
    # In the line of a lock, by priority; under `futex_pi_state.lock`.
    state: Guarded[PiState | None, "futex_pi_state.lock"]
    priority: Guarded[u32, "futex_pi_state.lock"]
    behind: Guarded[FutexWaiter | None, "futex_pi_state.lock"]
    # The lock is the waiter's; `inherited`: from the dead, and the word has still to say so.
    granted: Atomic[bool]
    inherited: Guarded[Relaxed[bool], "futex_pi_state.lock | current()"]

    def __init__(self) -> None:
        self.key = FutexKey()
        self.bitset = 0
        self.queued = Atomic(False)
        self.task = None
        self.bucket = 0
        self.next = None
        self.previous = None
        self.target = None
        self.moved = False
        self.state = None
        self.priority = 0
        self.behind = None
        self.granted = Atomic(False)
        self.inherited = False


class Bucket(SpinLock):
    """Waiters whose keys hash alike, in order of arrival."""

    first: Guarded[FutexWaiter | None, "Bucket"]
    last: Guarded[FutexWaiter | None, "Bucket"]
    states: Guarded[PiState | None, "Bucket"]

    def __init__(self) -> None:
        super().__init__("futex bucket")
        self.first = None
        self.last = None
        self.states = None

    @inline
    def append(self, waiter: FutexWaiter) -> None:
        """Stand at the end."""
        last = self.last
        waiter.next = None
        waiter.previous = last
        if last is None:
            self.first = waiter
        else:
            last.next = waiter
        self.last = waiter
        waiter.queued.store_relaxed(True)

    def remove(self, waiter: FutexWaiter) -> None:
        """Leave."""
        before, following = waiter.previous, waiter.next
        if before is None:
            self.first = following
        else:
            before.next = following
        if following is None:
            self.last = before
        else:
            following.previous = before
        waiter.next = None
        waiter.previous = None
        waiter.queued.store_release(False)

    @inline
    def wake_one(self, waiter: FutexWaiter) -> None:
        """Take a waiter off and wake its task. A waiter that is off is its task's own again at once, so the task is
        counted before."""
        task = _task_of(waiter)
        self.remove(waiter)
        if task is not None:
            core.wake(task)


buckets: list[Bucket] = [Bucket() for _ in range(BUCKETS)]


@inline
@borrowed
def bucket_at(index: u64) -> Bucket:
    """A bucket by number; they are for ever."""
    return buckets[index]


def lock_pair(first: u64, second: u64) -> None:
    """Take one bucket or two, in order of their numbers."""
    buckets[min(first, second)].acquire()
    if first != second:
        buckets[max(first, second)].acquire_nested()


def unlock_pair(first: u64, second: u64) -> None:
    """Give them back."""
    if first != second:
        buckets[max(first, second)].release()
    buckets[min(first, second)].release()


@noinline
def _task_of(waiter: FutexWaiter) -> Task | None:
    return waiter.task


@inline
@borrowed
def own_waiter(task: Task) -> FutexWaiter:
    """The caller's waiter, which is as long as the caller. Raises MemoryError."""
    if task.futex_waiter is None:
        _make_waiter(task)
    waiter = task.futex_waiter
    assert waiter is not None
    return waiter


@cold
def _make_waiter(task: Task) -> None:
    task.futex_waiter = FutexWaiter()


@inline
def leave(waiter: FutexWaiter) -> bool:
    """End the caller's wait in a bucket; False when a waker has taken the waiter off."""
    queued = withdraw(waiter)
    waiter.task = None
    waiter.key.clear()
    return queued


@inline
def withdraw(waiter: FutexWaiter) -> bool:
    """Take a waiter off its bucket; False when a waker was faster."""
    return waiter.queued.load_acquire() and _take_off(waiter)


@noinline
def _take_off(waiter: FutexWaiter) -> bool:
    while True:
        index = waiter.bucket
        bucket = bucket_at(index)
        with bucket:
            if waiter.bucket == index:
                queued = waiter.queued.load_relaxed()
                if queued:
                    bucket.remove(waiter)
                return queued
