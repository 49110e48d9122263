# SPDX-License-Identifier: Apache-2.0
"""Futexes: sleeping on a word of user memory (futex(2)).

A waiter first stands in its bucket's queue and then reads the word; a waker first changes the word and then looks at
the queue. So either the waiter sees the new value or the waker sees the waiter, and no lock is held while user
memory, which may have to be paged in, is touched.

What a word is called by: the address space and the address, or, in a shared mapping, the page cache and the offset in
it, so that processes that map it at different addresses meet. Each waiter holds what its key names.
Locks: each bucket's spinlock; two are taken in order of their index.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.futex import ANY_BITSET
from kaa.kernel.arch import machine
from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.process.task import INTERRUPTIBLE, RUNNING, Task
from kaa.kernel.sched import core
from kaa.kernel.signal import has_pending
from kaa.lang import i64, inline, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.mm.page_cache import PageCache

BUCKETS: Final = 64
NEVER: Final = 0xFFFF_FFFF_FFFF_FFFF

# What a wait ended with.
WOKEN: Final = 0
TIMED_OUT: Final = 1
INTERRUPTED: Final = 2
CHANGED: Final = 3


class FutexKey:
    """What a futex word is called by. A waiter's own and a waker's are compared by `matches`."""

    space: AddressSpace | None
    cache: PageCache | None
    offset: u64

    def __init__(self) -> None:
        self.space = None
        self.cache = None
        self.offset = 0

    def set_private(self, space: AddressSpace, address: u64) -> None:
        """A word of private memory."""
        self.space = space
        self.cache = None
        self.offset = address

    def find(self, space: AddressSpace, address: u64) -> None:
        """A word that may lie in shared memory. Raises OSError(EFAULT) where nothing is mapped."""
        with space.lock.read():
            vma = space.find(address)
            if vma is None:
                raise OSError(errno.EFAULT)
            cache = vma.cache
            if vma.is_shared() and cache is not None:
                self.space = None
                self.cache = cache
                self.offset = address - vma.start + vma.offset
                return
        self.set_private(space, address)

    def matches(self, other: FutexKey) -> bool:
        """Whether both are one word."""
        return self.offset == other.offset and self.space is other.space and self.cache is other.cache

    def clear(self) -> None:
        """Let go of what it names."""
        self.space = None
        self.cache = None

    def copy_from(self, other: FutexKey) -> None:
        """Become equal to `other`."""
        self.space = other.space
        self.cache = other.cache
        self.offset = other.offset

    @inline
    def bucket(self) -> u64:
        """Index of its bucket."""
        word = self.offset >> 2
        return (word ^ (word >> 6) ^ (word >> 13)) & (BUCKETS - 1)


class FutexWaiter:
    """A task's place in a bucket. Each task has one, made with its first wait."""

    key: FutexKey
    bitset: u32
    queued: bool
    task: Task | None
    bucket: u64
    next: FutexWaiter | None
    previous: FutexWaiter | None

    def __init__(self) -> None:
        self.key = FutexKey()
        self.bitset = 0
        self.queued = False
        self.task = None
        self.bucket = 0
        self.next = None
        self.previous = None


class Bucket(SpinLock):
    """Waiters whose keys hash alike, in order of arrival."""

    first: FutexWaiter | None
    last: FutexWaiter | None

    def __init__(self) -> None:
        super().__init__("futex bucket")
        self.first = None
        self.last = None

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
        waiter.queued = True

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
        waiter.queued = False


buckets: list[Bucket] = [Bucket() for _ in range(BUCKETS)]


def own_waiter(task: Task) -> FutexWaiter:
    """The caller's waiter. Raises MemoryError."""
    waiter = task.futex_waiter
    if waiter is None:
        waiter = FutexWaiter()
        task.futex_waiter = waiter
    return waiter


def current_space(task: Task) -> AddressSpace:
    """The caller's memory."""
    space = task.mm
    assert space is not None
    return space


def name(key: FutexKey, task: Task, address: u64, shared: bool) -> None:
    """Find what the caller's word at `address` is called by. Raises OSError(EINVAL) when it is not aligned, EFAULT."""
    if (address & 3) != 0:
        raise OSError(errno.EINVAL)
    space = current_space(task)
    if shared:
        key.find(space, address)
    else:
        key.set_private(space, address)


def load(address: u64) -> u32:
    """The word. Raises OSError(EFAULT)."""
    value: i64 = machine.user.load_user(address)
    if value < 0:
        raise OSError(errno.EFAULT)
    return u32(value)


def wait(address: u64, expected: u32, bitset: u32, deadline: u64, shared: bool) -> u32:
    """Sleep while the word is `expected`, until woken, a monotonic time, or a signal. Raises OSError(EFAULT, EINVAL),
    MemoryError."""
    task = machine.percpu.current()
    waiter = own_waiter(task)
    name(waiter.key, task, address, shared)
    _enqueue(waiter, task, bitset)
    try:
        value = load(address)
    except OSError:
        _leave(waiter)
        raise
    if value != expected:
        return u32(CHANGED) if _leave(waiter) else u32(WOKEN)
    outcome = _sleep(task, waiter, deadline)
    return outcome if _leave(waiter) else u32(WOKEN)


def _enqueue(waiter: FutexWaiter, task: Task, bitset: u32) -> None:
    waiter.bitset = bitset
    waiter.task = task
    waiter.bucket = waiter.key.bucket()
    bucket = buckets[waiter.bucket]
    with bucket:
        bucket.append(waiter)


def _leave(waiter: FutexWaiter) -> bool:
    """End the wait; False when a waker has taken the waiter off."""
    queued = False
    while True:
        index = waiter.bucket
        bucket = buckets[index]
        with bucket:
            if waiter.bucket != index:
                continue
            queued = waiter.queued
            if queued:
                bucket.remove(waiter)
        break
    waiter.task = None
    waiter.key.clear()
    return queued


def _sleep(task: Task, waiter: FutexWaiter, deadline: u64) -> u32:
    outcome = WOKEN
    while True:
        core.set_state(task, u64(INTERRUPTIBLE))
        if not waiter.queued:
            break
        if has_pending(task):
            outcome = INTERRUPTED
            break
        if deadline == NEVER:
            core.schedule()
        elif machine.clock.monotonic_ns() >= deadline:
            outcome = TIMED_OUT
            break
        else:
            core.schedule_until(deadline)
    core.set_state(task, u64(RUNNING))
    return u32(outcome)


def wake(address: u64, count: u32, bitset: u32, shared: bool) -> u32:
    """Wake up to `count` waiters of the caller's word; gives how many. Raises OSError(EFAULT, EINVAL)."""
    task = machine.percpu.current()
    if not shared and (address & 3) == 0:
        return _wake_private(current_space(task), address, count, bitset)
    key = own_waiter(task).key
    name(key, task, address, shared)
    woken = wake_key(key, count, bitset)
    key.clear()
    return woken


def _wake_private(space: AddressSpace, address: u64, count: u32, bitset: u32) -> u32:
    """The common case, without a key object."""
    word = address >> 2
    bucket = buckets[(word ^ (word >> 6) ^ (word >> 13)) & (BUCKETS - 1)]
    woken: u32 = 0
    with bucket:
        waiter = bucket.first
        while waiter is not None and woken < count:
            following = waiter.next
            if waiter.key.offset == address and waiter.key.space is space and (waiter.bitset & bitset) != 0:
                _wake_one(bucket, waiter)
                woken += 1
            waiter = following
    return woken


def wake_key(key: FutexKey, count: u32, bitset: u32) -> u32:
    """Wake up to `count` waiters of a word."""
    bucket = buckets[key.bucket()]
    woken: u32 = 0
    with bucket:
        waiter = bucket.first
        while waiter is not None and woken < count:
            following = waiter.next
            if waiter.key.matches(key) and (waiter.bitset & bitset) != 0:
                _wake_one(bucket, waiter)
                woken += 1
            waiter = following
    return woken


def _wake_one(bucket: Bucket, waiter: FutexWaiter) -> None:
    task = waiter.task
    bucket.remove(waiter)
    if task is not None:
        core.wake(task)


def wake_at(address: u64, count: u32) -> None:
    """Wake waiters of a word that the kernel changed (end of a thread, robust mutex); errors are nobody's concern."""
    try:
        wake(address, count, u32(ANY_BITSET), True)
    except Exception:
        pass
