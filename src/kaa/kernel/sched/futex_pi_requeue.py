# SPDX-License-Identifier: Apache-2.0
"""FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI: waiting on one word to be moved to the line of a priority-inheritance
lock (futex(2)); what a condition variable with such a mutex is made of.

The waiter says beforehand which lock it will be moved to. Who moves takes the lock for the first one if it is free, and
puts the others into its line; each then wakes with the lock. Under the locks of both words' buckets.
"""

from __future__ import annotations

import errno

from kaa.kernel.abi.futex import OWNER_DIED, TID_MASK, WAITERS
from kaa.kernel.abi.restart import RestartAlways
from kaa.kernel.arch import machine
from kaa.kernel.process import ids
from kaa.kernel.process.task import Task
from kaa.kernel.sched import core, futex_pi
from kaa.kernel.sched.futex import TIMED_OUT, enqueue, sleep
from kaa.kernel.sched.futex_key import FutexKey, bring_in, load, name
from kaa.kernel.sched.futex_pi_state import find
from kaa.kernel.sched.futex_queue import FutexWaiter, bucket_at, lock_pair, own_waiter, unlock_pair
from kaa.lang import i32, i64, u32, u64


def wait(address: u64, expected: u32, bitset: u32, deadline: u64, target: u64, shared: bool) -> None:
    """Sleep on the first word while it is `expected`, until the lock at `target` is the caller's. Raises
    BlockingIOError, TimeoutError, RestartAlways, OSError(EINVAL, EFAULT), MemoryError."""
    task = machine.percpu.current()
    waiter = own_waiter(task)
    goal = FutexKey()
    name(waiter.key, task, address, shared)
    name(goal, task, target, shared)
    if waiter.key.matches(goal) or bitset == 0:
        raise OSError(errno.EINVAL)
    waiter.bitset = bitset
    waiter.target = goal
    waiter.moved = False
    waiter.granted.store(False)
    waiter.inherited = False
    try:
        if not enqueue(waiter, task, address, expected):
            raise BlockingIOError
        _until_locked(task, waiter, target, deadline)
    finally:
        waiter.target = None
        waiter.key.clear()


def _until_locked(task: Task, waiter: FutexWaiter, target: u64, deadline: u64) -> None:
    outcome = sleep(task, waiter, deadline)
    if _leave_queue(waiter):
        if outcome == TIMED_OUT:
            raise TimeoutError
        raise RestartAlways
    goal = waiter.target
    assert goal is not None
    waiter.key.copy_from(goal)
    futex_pi.wait_in_line(task, waiter, target, deadline, i64(errno.EAGAIN))


def _leave_queue(waiter: FutexWaiter) -> bool:
    """Whether it still stood in the first word's queue."""
    bucket = bucket_at(waiter.bucket)
    with bucket:
        queued = waiter.queued.load_relaxed()
        if queued:
            bucket.remove(waiter)
            waiter.task = None
    return queued


def move(source: u64, target: u64, wake_count: u32, move_count: u32, expected: u32, shared: bool) -> u32:
    """Give the lock at `target` to the first who waits at `source`, if it is free, and put `move_count` others into its
    line; gives how many in all. Raises OSError(EINVAL) unless `wake_count` is 1 and all wait for this lock,
    BlockingIOError when the first word is not `expected`."""
    if wake_count != 1:
        raise OSError(errno.EINVAL)
    task = machine.percpu.current()
    from_key = FutexKey()
    to_key = FutexKey()
    name(from_key, task, source, shared)
    name(to_key, task, target, shared)
    if from_key.matches(to_key):
        raise OSError(errno.EINVAL)
    first, second = from_key.bucket(), to_key.bucket()
    done: u32 = 0
    while done <= move_count:
        word = load(target)
        owner = ids.find_task(i32(word & TID_MASK)) if (word & TID_MASK) != 0 else None
        lock_pair(first, second)
        try:
            found = machine.user.load_user(source)
            if done == 0 and found >= 0 and found != expected:
                raise BlockingIOError
            waiter = _first_for(from_key, to_key)
            if waiter is None:
                return done
            outcome = _move_one(waiter, to_key, target, word, owner) if found >= 0 else u32(futex_pi.MISSING)
            if outcome == futex_pi.ACQUIRED:
                done += 1
        finally:
            unlock_pair(first, second)
        if found < 0:
            load(source)
        elif outcome == futex_pi.MISSING:
            bring_in(target)
    return done


def _first_for(from_key: FutexKey, to_key: FutexKey) -> FutexWaiter | None:
    """The first who waits at the word. Raises OSError(EINVAL) if not for this lock."""
    waiter = bucket_at(from_key.bucket()).first
    while waiter is not None and not waiter.key.matches(from_key):
        waiter = waiter.next
    if waiter is not None:
        goal = waiter.target
        if goal is None or not goal.matches(to_key):
            raise OSError(errno.EINVAL)
    return waiter


def _move_one(waiter: FutexWaiter, to_key: FutexKey, target: u64, word: u32, owner: Task | None) -> u32:
    """ACQUIRED: it has the lock, or stands in its line. Under both buckets' locks."""
    origin = bucket_at(waiter.bucket)
    goal = bucket_at(to_key.bucket())
    task = waiter.task
    assert task is not None
    found = machine.user.load_user(target)
    if found != word:
        return u32(futex_pi.MISSING if found < 0 else futex_pi.AGAIN)
    state = find(goal, to_key)
    if state is None and (word & TID_MASK) == 0:
        outcome = futex_pi.exchange(target, word, u32(task.pid) | (word & OWNER_DIED))
        if outcome == futex_pi.ACQUIRED:
            waiter.granted.store(True)
            origin.wake_one(waiter)
        return outcome
    if (word & TID_MASK) == u32(task.pid):
        raise OSError(errno.EDEADLK)
    if (word & WAITERS) == 0:
        outcome = futex_pi.exchange(target, word, word | WAITERS)
        if outcome != futex_pi.ACQUIRED:
            return outcome
    if futex_pi.stand(goal, state, waiter, task, to_key, word, owner) == futex_pi.GONE:
        return futex_pi.after_death(target, word | WAITERS)
    waiter.moved = True
    origin.remove(waiter)
    core.wake(task)
    return u32(futex_pi.ACQUIRED)
