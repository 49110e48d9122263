# SPDX-License-Identifier: Apache-2.0
"""Futex queues against a model: a list of waiters for each word."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from kaa.kernel.arch import machine
from kaa.kernel.sched import core, futex, futex_requeue
from kaa.kernel.sched.futex_key import FutexKey
from kaa.kernel.sched.futex_queue import FutexWaiter, buckets, leave

WORDS = [0x1000, 0x1004, 0x1400, 0x81000, 0x101000]
"""Some share a bucket."""
WAITERS = 8


class Space:
    """Memory that is nothing but itself."""


class Name:
    """A task that is nothing but a name."""


@contextlib.contextmanager
def world(memory: dict[int, int]) -> Iterator[list[Any]]:
    """User memory that is a dict (what is not in it is missing), and the tasks that were woken."""
    woken: list[Any] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(machine.user, "load_user", lambda at: memory.get(int(at), -1)))
        stack.enter_context(mock.patch.object(core, "wake", woken.append))
        yield woken
    for bucket in buckets:
        assert bucket.first is None and bucket.last is None


def key_of(space: Any, address: int) -> FutexKey:
    key = FutexKey()
    key.set_private(space, address)
    return key


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, WAITERS - 1), st.integers(0, 4), st.integers(1, 7), st.booleans()),
        st.tuples(st.just("wake"), st.integers(0, 4), st.integers(0, 3), st.integers(1, 7)),
        st.tuples(st.just("move"), st.integers(0, 4), st.integers(0, 4), st.integers(0, 2), st.integers(0, 3)),
        st.tuples(st.just("leave"), st.integers(0, WAITERS - 1)),
    ),
    max_size=40,
)


@given(OPERATIONS)
def test_waiters_are_woken_and_moved_in_order_of_arrival(script: list[Any]) -> None:
    space: Any = Space()
    memory = dict.fromkeys(WORDS, 1)
    waiters = [FutexWaiter() for _ in range(WAITERS)]
    tasks: list[Any] = [Name() for _ in range(WAITERS)]
    # The model: for each word the numbers of those who wait, and their masks; who has been taken off.
    queues: dict[int, list[int]] = {word: [] for word in WORDS}
    masks: dict[int, int] = {}
    with world(memory) as woken:
        for operation, *given_ in script:
            woken.clear()
            if operation == "wait":
                number, word, mask, expected_is_right = given_
                if number in masks:
                    continue
                waiter = waiters[number]
                waiter.key.set_private(space, WORDS[word])
                waiter.bitset = mask
                stands = futex.enqueue(waiter, tasks[number], WORDS[word], 1 if expected_is_right else 2)
                assert stands == expected_is_right and waiter.queued.load() == stands
                if stands:
                    masks[number] = mask
                    queues[WORDS[word]].append(number)
            elif operation == "wake":
                word, count, mask = given_
                key = key_of(space, WORDS[word])
                queue = queues[WORDS[word]]
                expected = [n for n in queue if masks[n] & mask][:count]
                assert futex.wake_key(buckets[key.bucket()], key, count, mask) == len(expected)
                assert woken == [tasks[n] for n in expected]
                for n in expected:
                    queue.remove(n)
                    del masks[n]
                    assert not leave(waiters[n])
            elif operation == "move":
                source, target, wakes, moves = given_
                move(space, queues, masks, waiters, tasks, woken, WORDS[source], WORDS[target], wakes, moves)
            else:
                (number,) = given_
                stood = number in masks
                if stood:
                    assert leave(waiters[number])
                    for queue in queues.values():
                        if number in queue:
                            queue.remove(number)
                    del masks[number]
        for n in list(masks):
            assert leave(waiters[n])


def move(
    space: Any,
    queues: Any,
    masks: Any,
    waiters: Any,
    tasks: Any,
    woken: Any,
    source: int,
    target: int,
    wakes: int,
    moves: int,
) -> None:
    """FUTEX_REQUEUE, in the kernel and in the model."""
    gone = queues[source][:wakes]
    done = futex_requeue._move(key_of(space, source), key_of(space, target), wakes, moves)  # pyright: ignore
    del queues[source][:wakes]
    moved = [] if source == target else queues[source][:moves]
    assert done == len(gone) + len(moved) and woken == [tasks[n] for n in gone]
    for n in gone:
        del masks[n]
        assert not leave(waiters[n])
    for n in moved:
        queues[source].remove(n)
        queues[target].append(n)


def test_a_missing_page_is_brought_in_without_the_lock_and_all_begins_again() -> None:
    memory: dict[int, int] = {}
    space: Any = Space()
    task: Any = Name()
    waiter = FutexWaiter()
    looks: list[bool] = []

    def look(at: int) -> int:
        held = machine.percpu.preempt_count() != 0
        looks.append(held)
        if not held:
            memory[int(at)] = 7
        return memory.get(int(at), -1)

    with world(memory), mock.patch.object(machine.user, "load_user", look):
        waiter.key.set_private(space, 0x1000)
        assert futex.enqueue(waiter, task, 0x1000, 7) and leave(waiter)
    assert looks == [True, False, True]
