# SPDX-License-Identifier: Apache-2.0
"""Priority inheritance against a model: who runs with which priority is what the whole graph of waiting says."""

from __future__ import annotations

from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from kaa.kernel.sched import core, futex_pi, futex_pi_state
from kaa.kernel.sched.futex_pi_state import PiState, give, join, part, would_deadlock
from kaa.kernel.sched.futex_queue import Bucket, FutexWaiter
from kaa.lang import Atomic

TASKS = 6
LOCKS = 5


class Thread:
    """What of a task the chains know."""

    def __init__(self, number: int, priority: int) -> None:
        self.pid = number + 1
        self.own = priority
        self.rt_priority = priority
        self.pi_boost = 0
        self.owned_locks: Any = None
        self.awaited_lock: Any = None


def boost(task: Any, priority: int) -> None:
    task.pi_boost = priority
    task.rt_priority = max(task.own, priority)


class Model:
    """Who owns and who waits for what: priorities follow from it."""

    def __init__(self, threads: list[Any]) -> None:
        self.threads = threads
        self.owner: dict[int, int] = {}
        self.waits: dict[int, int] = {}

    def priority(self, task: int) -> int:
        """The highest of its own and those of all who wait for it, through whatever chain."""
        best = self.threads[task].own
        for waiter, lock in self.waits.items():
            if self.owner.get(lock) == task:
                best = max(best, self.priority(waiter))
        return best

    def reaches(self, start: int, goal: int) -> bool:
        """Whether `start` waits for `goal`, or is it."""
        while start != goal:
            if start not in self.waits or self.waits[start] not in self.owner:
                return False
            start = self.owner[self.waits[start]]
        return True


@given(
    st.lists(st.integers(0, 99), min_size=TASKS, max_size=TASKS),
    st.lists(
        st.tuples(
            st.sampled_from(["lock", "unlock", "give up", "die"]), st.integers(0, TASKS - 1), st.integers(0, LOCKS - 1)
        ),
        max_size=60,
    ),
)
def test_priorities_are_those_of_the_whole_graph(priorities: list[int], script: list[tuple[str, int, int]]) -> None:
    threads: list[Any] = [Thread(n, p) for n, p in enumerate(priorities)]
    states: list[Any] = [PiState() for _ in range(LOCKS)]
    waiters = [FutexWaiter() for _ in range(TASKS)]
    bucket = Bucket()
    model = Model(threads)
    with (
        mock.patch.object(futex_pi_state, "boost", boost),
        mock.patch.object(core, "wake", lambda task: None),
        mock.patch.object(futex_pi, "remove_from", lambda bucket, state: None),
    ):
        for operation, task, lock in script:
            step(operation, task, lock, threads, states, waiters, bucket, model)
            check(threads, states, model)


def step(
    operation: str, task: int, lock: int, threads: Any, states: Any, waiters: Any, bucket: Any, model: Model
) -> None:
    thread, state, waiter = threads[task], states[lock], waiters[task]
    if operation == "lock" and task not in model.waits:
        if lock not in model.owner:
            model.owner[lock] = task
            give(state, thread)
        elif model.owner[lock] != task:
            circle = model.reaches(model.owner[lock], task)
            assert would_deadlock(thread, state.owner) == circle
            if not circle:
                model.waits[task] = lock
                join(state, waiter, thread)
    elif operation == "unlock" and model.owner.get(lock) == task and task not in model.waits:
        hand_over(state, lock, threads, bucket, model)
    elif operation == "give up" and task in model.waits:
        part(states[model.waits.pop(task)], waiter)
    elif operation == "die" and task not in model.waits:
        for owned in [number for number, owner in model.owner.items() if owner == task]:
            hand_over(states[owned], owned, threads, bucket, model)


def hand_over(state: Any, lock: int, threads: Any, bucket: Any, model: Model) -> None:
    """To the most urgent; in the model, to whom the state names, if nobody is more urgent."""
    line = [n for n, wanted in model.waits.items() if wanted == lock]
    if not line:
        give(state, None)
        del model.owner[lock]
        return
    best = max(model.priority(n) for n in line)
    heir = state.first
    successor = heir.task.pid - 1
    assert successor in line and model.priority(successor) == best
    state.unsettled = True
    futex_pi.grant(bucket, state, heir)
    state.unsettled = False
    model.owner[lock] = successor
    del model.waits[successor]
    assert heir.granted.load() and heir.state is None


def check(threads: Any, states: Any, model: Model) -> None:
    for number, thread in enumerate(threads):
        assert thread.rt_priority == model.priority(number), (number, thread.pi_boost)
    for lock, state in enumerate(states):
        owner = state.owner
        assert (None if owner is None else owner.pid - 1) == model.owner.get(lock)
        line = []
        place = state.first
        while place is not None:
            line.append(place)
            place = place.behind
        assert [w.priority for w in line] == sorted((w.priority for w in line), reverse=True)
        assert {w.task.pid - 1 for w in line} == {n for n, wanted in model.waits.items() if wanted == lock}


def test_equals_are_served_in_order_of_arrival() -> None:
    threads: list[Any] = [Thread(n, 7) for n in range(4)]
    waiters = [FutexWaiter() for _ in range(4)]
    state = PiState()
    with mock.patch.object(futex_pi_state, "boost", boost):
        give(state, threads[0])
        for n in (2, 1, 3):
            join(state, waiters[n], threads[n])
    order = []
    place = state.first
    while place is not None:
        order.append(place.task.pid - 1)
        place = place.behind
    assert order == [2, 1, 3]


def test_who_ends_is_closed_before_anybody_else_can_be_first_to_wait() -> None:
    """Until any lock had waiters the end takes no lock. Whichever comes first, the end or the first who wants to stand
    in line, the other sees it."""
    bucket, key = Bucket(), mock.MagicMock()
    key.bucket.return_value = 0
    with mock.patch.object(futex_pi_state, "use", futex_pi_state.Use()):
        gone: Any = Thread(1, 1)
        gone.locks_closed = Atomic(False)
        with mock.patch.object(futex_pi_state, "lock", None):  # not even looked at
            futex_pi.leave(gone)
            assert futex_pi.close(gone)
        assert futex_pi.stand(bucket, None, FutexWaiter(), gone, key, 2, gone) == futex_pi.GONE
        assert futex_pi_state.use.ever.load()
        futex_pi.reopen(gone)
        state = PiState()
        with mock.patch.object(futex_pi_state, "boost", boost):
            give(state, gone)
        assert not futex_pi.close(gone) and not gone.locks_closed.load()
