# SPDX-License-Identifier: Apache-2.0
"""Priority-inheritance locks as the kernel knows them: only those that somebody waits for (futex(2), "Priority-
inheritance futexes").

A `PiState` has an owner and a line of waiters, the most urgent first, then in order of arrival. It lives in the bucket
of its word, and on its owner's list, from the first waiter's coming to the last one's going. The owner runs with the
priority of its most urgent waiter (Sha, Rajkumar and Lehoczky, "Priority Inheritance Protocols", 1990); if the owner
itself waits for such a lock, so does that one's owner, and so on. A chain that comes back to who wants to wait is a
deadlock, found before it waits; so chains have no circles.

`lock` guards all states, lines, owners' lists and boosts: chains span many words. Order: buckets, then it, then run
queues. A state is found, made and removed under its bucket's lock besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.process.task import Task
from kaa.kernel.sched.futex_key import FutexKey
from kaa.kernel.sched.policy import boost, effective_priority
from kaa.lang import Atomic, Guarded, Relaxed, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.sched.futex_queue import Bucket, FutexWaiter

LONGEST_CHAIN: Final = 1024
"""A chain of owners that is longer is taken for a deadlock."""

lock = SpinLock("priority inheritance")


class Use:
    """Whether any lock ever had waiters: until then those who end need not look, all under one lock. Who stands in line
    sets this and then looks at the owner's `locks_closed`; who ends sets that and then looks at this."""

    ever: Atomic[bool]

    def __init__(self) -> None:
        self.ever = Atomic(False)


use = Use()


class PiState:
    """One lock that has waiters."""

    key: Guarded[FutexKey, "Bucket"]
    bucket: Final[u64]
    owner: Guarded[Task | None, "futex_pi_state.lock"]
    # In its bucket; on its owner's list.
    next: Guarded[PiState | None, "Bucket"]
    next_owned: Guarded[PiState | None, "futex_pi_state.lock"]
    # The line.
    first: Guarded[FutexWaiter | None, "futex_pi_state.lock"]
    # The lock went to the next waiter because the owner died: that one has still to write its id into the word.
    unsettled: Guarded[Relaxed[bool], "futex_pi_state.lock"]

    def __init__(self, bucket: u64 = u64(0)) -> None:
        self.key = FutexKey()
        self.bucket = bucket
        self.owner = None
        self.next = None
        self.next_owned = None
        self.first = None
        self.unsettled = False

    def stand(self, waiter: FutexWaiter) -> None:
        """Take the place in line that the priority gives."""
        before: FutexWaiter | None = None
        following = self.first
        while following is not None and following.priority >= waiter.priority:
            before = following
            following = following.behind
        waiter.behind = following
        if before is None:
            self.first = waiter
        else:
            before.behind = waiter

    def unstand(self, waiter: FutexWaiter) -> None:
        """Leave the line."""
        before: FutexWaiter | None = None
        found = self.first
        while found is not None and found is not waiter:
            before = found
            found = found.behind
        assert found is waiter
        if before is None:
            self.first = waiter.behind
        else:
            before.behind = waiter.behind
        waiter.behind = None


def find(bucket: Bucket, key: FutexKey) -> PiState | None:
    """The lock of a word, if somebody waits for it. Under the bucket's lock."""
    state = bucket.states
    while state is not None and not state.key.matches(key):
        state = state.next
    return state


def remove_from(bucket: Bucket, state: PiState) -> None:
    """Nobody waits for the lock any more. Under the bucket's lock."""
    before: PiState | None = None
    found = bucket.states
    while found is not None and found is not state:
        before = found
        found = found.next
    assert found is state
    if before is None:
        bucket.states = state.next
    else:
        before.next = state.next
    state.next = None
    state.key.clear()


# -- under `lock`


def give(state: PiState, owner: Task | None) -> None:
    """Change the owner, and what the old and the new one run with."""
    old = state.owner
    if old is not None:
        _take_off(state, old)
        state.owner = None
        renew(old)
    state.owner = owner
    if owner is not None:
        state.next_owned = owner.owned_locks
        owner.owned_locks = state
        renew(owner)


def _take_off(state: PiState, owner: Task) -> None:
    before: PiState | None = None
    found = owner.owned_locks
    while found is not None and found is not state:
        before = found
        found = found.next_owned
    assert found is state
    if before is None:
        owner.owned_locks = state.next_owned
    else:
        before.next_owned = state.next_owned
    state.next_owned = None


def _most_urgent(owner: Task) -> u32:
    """The highest priority among those that wait for any of its locks."""
    best: u32 = u32(0)
    state = owner.owned_locks
    while state is not None:
        first = state.first
        if first is not None:
            best = max(best, first.priority)
        state = state.next_owned
    return best


def renew(task: Task) -> None:
    """Find what a task is to run with, and tell the owner of the lock that it waits for, and so on."""
    owner: Task | None = task
    for _ in range(LONGEST_CHAIN):
        if owner is None:
            return
        boost(owner, _most_urgent(owner))
        waiter = owner.awaited_lock
        state = None if waiter is None else waiter.state
        if waiter is None or state is None or waiter.priority == effective_priority(owner):
            return
        state.unstand(waiter)
        waiter.priority = effective_priority(owner)
        state.stand(waiter)
        owner = state.owner


def would_deadlock(task: Task, owner: Task) -> bool:
    """Whether `owner` waits, through whatever chain, for a lock of `task`."""
    found: Task | None = owner
    for _ in range(LONGEST_CHAIN):
        if found is None:
            return False
        if found is task:
            return True
        waiter = found.awaited_lock
        state = None if waiter is None else waiter.state
        found = None if state is None else state.owner
    return True


def join(state: PiState, waiter: FutexWaiter, task: Task) -> None:
    """`task` waits for the lock from now on."""
    waiter.task = task
    waiter.state = state
    waiter.priority = effective_priority(task)
    waiter.granted.store(False)
    waiter.inherited = False
    task.awaited_lock = waiter
    state.stand(waiter)
    owner = state.owner
    if owner is not None:
        renew(owner)


def part(state: PiState, waiter: FutexWaiter) -> None:
    """The waiter waits no more."""
    state.unstand(waiter)
    waiter.state = None
    task = waiter.task
    if task is not None:
        task.awaited_lock = None
    owner = state.owner
    if owner is not None:
        renew(owner)
