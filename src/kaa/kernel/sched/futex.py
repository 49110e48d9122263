# SPDX-License-Identifier: Apache-2.0
"""Futexes: sleeping on a word of user memory (futex(2)).

A waiter looks at the word under its bucket's lock, and stands in the queue before it gives the lock up; a waker first
changes the word and then looks at the queue. So either the waiter sees the new value or the waker sees the waiter, and
nobody is woken for a word that he would not have waited for. A page that is missing is brought in without the lock, and
all begins again. How a wait ends (woken, time, signal) is decided by who takes the waiter off, under the lock.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.futex import ANY_BITSET
from kaa.kernel.arch import machine
from kaa.kernel.process.task import INTERRUPTIBLE, RUNNING, Task
from kaa.kernel.sched import core
from kaa.kernel.sched.futex_key import FutexKey, bring_in, current_space, index_of, load, name, require_word
from kaa.kernel.sched.futex_queue import Bucket, FutexWaiter, bucket_at, leave, own_waiter
from kaa.kernel.signal import has_pending
from kaa.lang import cold, inline, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace

NEVER: Final = 0xFFFF_FFFF_FFFF_FFFF

# What a wait ended with.
WOKEN: Final = 0
TIMED_OUT: Final = 1
INTERRUPTED: Final = 2
CHANGED: Final = 3


def wait(address: u64, expected: u32, bitset: u32, deadline: u64, shared: bool) -> u32:
    """Sleep while the word is `expected`, until woken, a monotonic time, or a signal. Raises OSError(EFAULT, EINVAL),
    MemoryError."""
    task = machine.percpu.current()
    waiter = own_waiter(task)
    name(waiter.key, task, address, shared)
    waiter.bitset = bitset
    if not enqueue(waiter, task, address, expected):
        waiter.key.clear()
        return u32(CHANGED)
    outcome = sleep(task, waiter, deadline)
    return outcome if leave(waiter) else u32(WOKEN)


def enqueue(waiter: FutexWaiter, task: Task, address: u64, expected: u32) -> bool:
    """Stand in the queue of the waiter's key if the word is `expected`. Raises OSError(EFAULT)."""
    return enqueue_at(waiter.key.bucket(), waiter, task, address, expected)


def enqueue_at(index: u64, waiter: FutexWaiter, task: Task, address: u64, expected: u32) -> bool:
    """The same, by the number of its bucket."""
    bucket = bucket_at(index)
    while True:
        with bucket:
            value = machine.user.load_user(address)
            if value == expected:
                waiter.task = task
                waiter.bucket = index
                bucket.append(waiter)
                return True
        if value >= 0:
            return False
        load(address)


def sleep(task: Task, waiter: FutexWaiter, deadline: u64) -> u32:
    """Until the waiter is taken off the queue."""
    return sleep_until(task, deadline, lambda: not waiter.queued.load())


@inline
def sleep_until(task: Task, deadline: u64, came: Callable[[], bool]) -> u32:
    """Until `came` (WOKEN), a signal, or a monotonic time."""
    outcome = WOKEN
    while True:
        core.set_state(task, u64(INTERRUPTIBLE))
        if came():
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
    require_word(address)
    task = machine.percpu.current()
    if not shared:
        return _wake_private(current_space(task), address, count, bitset)
    key = own_waiter(task).key
    key.find(current_space(task), address)
    woken: u32 = 0
    try:
        bucket = bucket_at(key.bucket())
        with bucket:
            woken = wake_key(bucket, key, count, bitset)
    finally:
        key.clear()
    return woken


def _wake_private(space: AddressSpace, address: u64, count: u32, bitset: u32) -> u32:
    """The common case, without a key object."""
    bucket = bucket_at(index_of(address))
    woken: u32 = 0
    with bucket:
        if bucket.states is not None:
            _refuse_locks(bucket, space, address)
        waiter = bucket.first
        while waiter is not None and woken < count:
            following = waiter.next
            if waiter.key.offset == address and waiter.key.space is space and (waiter.bitset & bitset) != 0:
                if waiter.target is not None:
                    raise OSError(errno.EINVAL)
                bucket.wake_one(waiter)
                woken += 1
            waiter = following
    return woken


@cold
def _refuse_locks(bucket: Bucket, space: AddressSpace, address: u64) -> None:
    """FUTEX_WAKE of a word that is a priority-inheritance lock with waiters: EINVAL (futex(2))."""
    state = bucket.states
    while state is not None:
        if state.key.offset == address and state.key.space is space:
            raise OSError(errno.EINVAL)
        state = state.next


def refuse_lock(bucket: Bucket, key: FutexKey) -> None:
    """Raises OSError(EINVAL) for a word that others wait for as a priority-inheritance lock. Under the bucket's
    lock."""
    state = bucket.states
    while state is not None:
        if state.key.matches(key):
            raise OSError(errno.EINVAL)
        state = state.next


def wake_key(bucket: Bucket, key: FutexKey, count: u32, bitset: u32) -> u32:
    """Wake up to `count` waiters of a word. Under its bucket's lock. Raises OSError(EINVAL) when some wait for a
    lock."""
    refuse_lock(bucket, key)
    woken: u32 = 0
    waiter = bucket.first
    while waiter is not None and woken < count:
        following = waiter.next
        if waiter.key.matches(key) and (waiter.bitset & bitset) != 0:
            if waiter.target is not None:
                raise OSError(errno.EINVAL)
            bucket.wake_one(waiter)
            woken += 1
        waiter = following
    return woken


def wake_at(address: u64, count: u32) -> None:
    """Wake waiters of a word that the kernel changed (end of a thread, robust mutex); errors are nobody's concern."""
    try:
        wake(address, count, u32(ANY_BITSET), True)
    except Exception:
        pass


__all__ = ["CHANGED", "INTERRUPTED", "NEVER", "TIMED_OUT", "WOKEN", "FutexKey", "bring_in", "enqueue", "leave", "load",
           "name", "own_waiter", "refuse_lock", "sleep", "wait", "wake", "wake_at", "wake_key"]  # fmt: skip
