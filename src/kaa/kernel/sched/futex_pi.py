# SPDX-License-Identifier: Apache-2.0
"""FUTEX_LOCK_PI, LOCK_PI2, TRYLOCK_PI, UNLOCK_PI, and what becomes of a dead owner's locks (futex(2)).

The word holds the owner's thread id, 0 when the lock is free; WAITERS says that a lock or unlock must come here, and
OWNER_DIED that whoever has it now got it from the dead. While there is a `PiState` the lock is never free: unlocking
hands it to the first in line and writes that one's id (with WAITERS) into the word, all under the bucket's lock. Only
when an owner dies can the word not be written at once: it may lie where only the others can reach it. The heir does it
when it runs, and the state is `unsettled` until then.

Words are looked at and changed under the bucket's lock. What that finds missing is brought in without the lock, and all
begins again.
"""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.futex import OWNER_DIED, TID_MASK, WAITERS
from kaa.kernel.abi.restart import RestartAlways
from kaa.kernel.arch import machine
from kaa.kernel.process import ids
from kaa.kernel.process.task import Task
from kaa.kernel.sched import core, futex_pi_state
from kaa.kernel.sched.futex import TIMED_OUT, sleep_until
from kaa.kernel.sched.futex_key import FutexKey, bring_in, load, name
from kaa.kernel.sched.futex_pi_state import PiState, find, give, join, part, remove_from, would_deadlock
from kaa.kernel.sched.futex_queue import Bucket, FutexWaiter, bucket_at, own_waiter
from kaa.lang import i32, i64, noinline, u32, u64

# What an attempt came to.
ACQUIRED: Final = 0
JOINED: Final = 1
AGAIN: Final = 2
MISSING: Final = 3
GONE: Final = 4


def acquire(address: u64, deadline: u64, shared: bool, try_only: bool) -> None:
    """Take the lock, or wait for it. Raises OSError(EDEADLK, EPERM, ESRCH, EINVAL, EFAULT), BlockingIOError for
    `try_only`, TimeoutError, RestartAlways, MemoryError."""
    task = machine.percpu.current()
    waiter = own_waiter(task)
    name(waiter.key, task, address, shared)
    while True:
        word = load(address)
        owner = find_owner(word, task)
        outcome = _attempt(waiter, task, address, word, owner, try_only)
        if outcome == MISSING:
            bring_in(address)
        elif outcome != AGAIN:
            break
    if outcome == JOINED:
        wait_in_line(task, waiter, address, deadline, i64(errno.EINTR))
    waiter.key.clear()


def find_owner(word: u32, task: Task) -> Task | None:
    """Who the word says has the lock; None when it is free, or there is no such thread. Raises OSError(EDEADLK, EPERM)
    for the caller itself and for threads of the kernel."""
    number = word & TID_MASK
    if number == 0:
        return None
    if number == u32(task.pid):
        raise OSError(errno.EDEADLK)
    owner = ids.find_task(i32(number))
    if owner is not None and owner.is_kernel_thread():
        raise OSError(errno.EPERM)
    return owner


def _attempt(waiter: FutexWaiter, task: Task, address: u64, word: u32, owner: Task | None, try_only: bool) -> u32:
    """Under the bucket's lock: take the lock if it is free, else stand in line. `owner` is `word`'s."""
    bucket = bucket_at(waiter.key.bucket())
    with bucket:
        found = machine.user.load_user(address)
        if found < 0:
            return u32(MISSING)
        if found != word:
            return u32(AGAIN)
        state = find(bucket, waiter.key)
        if state is None and (word & TID_MASK) == 0:
            return exchange(address, word, u32(task.pid) | (word & OWNER_DIED))
        if try_only:
            raise BlockingIOError
        if state is None:
            outcome = exchange(address, word, word | WAITERS) if (word & WAITERS) == 0 else u32(ACQUIRED)
            if outcome != ACQUIRED:
                return outcome
        outcome = stand(bucket, state, waiter, task, waiter.key, word, owner)
        return outcome if outcome != GONE else after_death(address, word | WAITERS)


def after_death(address: u64, word: u32) -> u32:
    """The owner was on its way out when it was looked at, and may have left the word to others since: AGAIN. Raises
    ProcessLookupError when it has not, and never will."""
    found = machine.user.load_user(address)
    if found == word:
        raise ProcessLookupError
    return u32(MISSING if found < 0 else AGAIN)


def exchange(address: u64, old: u32, new: u32) -> u32:
    """Change the word: ACQUIRED, or AGAIN when it is not `old` any more, or MISSING."""
    found = machine.user.cmpxchg_user(address, old, new)
    if found < 0:
        return u32(MISSING)
    return u32(ACQUIRED) if found == old else u32(AGAIN)


def stand(
    bucket: Bucket, state: PiState | None, waiter: FutexWaiter, task: Task, key: FutexKey, word: u32, owner: Task | None
) -> u32:
    """Let `task` stand in line for the lock that `word` says `owner` has: JOINED, or GONE when that one can have no
    waiters any more. Under the bucket's lock. Raises OSError(EDEADLK, EINVAL, ESRCH), MemoryError."""
    if state is not None:
        with futex_pi_state.lock:
            _check_owner(state, word)
            holder = state.owner
            if holder is not None and would_deadlock(task, holder):
                raise OSError(errno.EDEADLK)
            join(state, waiter, task)
        return u32(JOINED)
    if owner is None:
        raise ProcessLookupError
    fresh = PiState(key.bucket())
    futex_pi_state.use.ever.store(True)
    with futex_pi_state.lock:
        if owner.locks_closed.load():
            return u32(GONE)
        if would_deadlock(task, owner):
            raise OSError(errno.EDEADLK)
        fresh.key.copy_from(key)
        fresh.next = bucket.states
        bucket.states = fresh
        give(fresh, owner)
        join(fresh, waiter, task)
    return u32(JOINED)


def _check_owner(state: PiState, word: u32) -> None:
    """The word must name the owner that the kernel knows, unless that one has died or is about to write it."""
    number = word & TID_MASK
    holder = state.owner
    if number != 0 and not state.unsettled and (holder is None or u32(holder.pid) != number):
        raise OSError(errno.EINVAL)


def wait_in_line(task: Task, waiter: FutexWaiter, address: u64, deadline: u64, interrupted: i64) -> None:
    """Sleep until the lock is the caller's. `interrupted`: what a signal is told as, EINTR meaning that the call is
    made again. Raises TimeoutError, RestartAlways, OSError."""
    outcome = sleep_until(task, deadline, lambda: waiter.granted.load())
    if _give_up(waiter):
        if outcome == TIMED_OUT:
            raise TimeoutError
        if interrupted == errno.EINTR:
            raise RestartAlways
        raise OSError(interrupted)
    if waiter.inherited:
        _settle(task, waiter, address)


def _give_up(waiter: FutexWaiter) -> bool:
    """Leave the line; False when the lock has come meanwhile."""
    bucket = bucket_at(waiter.key.bucket())
    gave_up = False
    with bucket:
        with futex_pi_state.lock:
            state = waiter.state
            if state is not None:
                part(state, waiter)
                _forget_if_idle(bucket, state)
                gave_up = True
    waiter.task = None
    return gave_up


def _forget_if_idle(bucket: Bucket, state: PiState) -> None:
    """A lock that nobody waits for is the program's own business. Under both locks."""
    if state.first is None and not state.unsettled:
        give(state, None)
        remove_from(bucket, state)


def _settle(task: Task, waiter: FutexWaiter, address: u64) -> None:
    """The lock came from the dead: the word is to say so. Raises OSError(EFAULT), the lock going to the next."""
    bucket = bucket_at(waiter.key.bucket())
    while True:
        with bucket:
            state = find(bucket, waiter.key)
            if state is None:
                return
            with futex_pi_state.lock:
                if state.owner is not task:
                    return
                found = machine.user.load_user(address)
                outcome = u32(MISSING)
                if found >= 0:
                    outcome = exchange(address, u32(found), u32(task.pid) | WAITERS | OWNER_DIED)
                if outcome == ACQUIRED:
                    state.unsettled = False
                    _forget_if_idle(bucket, state)
                    return
        if outcome == MISSING:
            try:
                bring_in(address)
            except OSError:
                with bucket:
                    with futex_pi_state.lock:
                        bequeath(bucket, state)
                raise


def release(address: u64, shared: bool) -> None:
    """Give the lock to who waits for it with the highest priority, or make it free. Raises OSError(EPERM) when the
    caller has it not, EINVAL, EFAULT."""
    task = machine.percpu.current()
    key = own_waiter(task).key
    name(key, task, address, shared)
    try:
        while True:
            word = load(address)
            if (word & TID_MASK) != u32(task.pid):
                raise OSError(errno.EPERM)
            outcome = _hand_over(task, key, address, word)
            if outcome == ACQUIRED:
                return
            if outcome == MISSING:
                bring_in(address)
    finally:
        key.clear()


def _hand_over(task: Task, key: FutexKey, address: u64, word: u32) -> u32:
    bucket = bucket_at(key.bucket())
    with bucket:
        state = find(bucket, key)
        if state is None:
            return exchange(address, word, u32(0))
        with futex_pi_state.lock:
            heir = state.first
            if state.owner is not task or heir is None:
                raise OSError(errno.EINVAL)
            successor = heir.task
            assert successor is not None
            outcome = exchange(address, word, u32(successor.pid) | WAITERS)
            if outcome == ACQUIRED:
                grant(bucket, state, heir)
            return outcome


def grant(bucket: Bucket, state: PiState, heir: FutexWaiter) -> None:
    """The lock is the first waiter's from now on. Under both locks."""
    task = heir.task
    assert task is not None
    state.unstand(heir)
    heir.state = None
    task.awaited_lock = None
    give(state, task)
    _forget_if_idle(bucket, state)
    heir.granted.store(True)
    core.wake(task)


def bequeath(bucket: Bucket, state: PiState) -> None:
    """The owner will not unlock any more: the first in line gets the lock, and will write the word. Under both
    locks."""
    heir = state.first
    state.unsettled = heir is not None
    if heir is None:
        _forget_if_idle(bucket, state)
    else:
        heir.inherited = True
        grant(bucket, state, heir)


def leave(task: Task) -> None:
    """The caller's life in this memory ends: its locks are others' now, and nobody can wait for it any more. It is
    closed first, so that who comes sees that, or has set `ever` before: see `Use`."""
    task.locks_closed.store(True)
    while futex_pi_state.use.ever.load():
        with futex_pi_state.lock:
            state = _first_owned(task)
        if state is None:
            return
        bucket = bucket_at(state.bucket)
        with bucket:
            with futex_pi_state.lock:
                if state.owner is task:
                    bequeath(bucket, state)


def close(task: Task) -> bool:
    """If the caller has no locks that others wait for, nobody can wait for its locks any more; says whether."""
    task.locks_closed.store(True)
    if not futex_pi_state.use.ever.load():
        return True
    with futex_pi_state.lock:
        if task.owned_locks is not None:
            task.locks_closed.store(False)
        return task.owned_locks is None


def reopen(task: Task) -> None:
    """The caller has other memory now, and may have locks there."""
    task.locks_closed.store(False)


@noinline
def _first_owned(task: Task) -> PiState | None:
    """Counted before the lock is given up: what a call gives is its caller's."""
    return task.owned_locks
