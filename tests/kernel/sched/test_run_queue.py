# SPDX-License-Identifier: Apache-2.0
"""The run queue: shares by weight, real-time first, sleepers welcome."""

from __future__ import annotations

import pytest

from kaa.kernel.abi.sched import Policy
from kaa.kernel.process.group import ThreadGroup
from kaa.kernel.process.pid import Pid
from kaa.kernel.process.task import Task
from kaa.kernel.sched import weights
from kaa.kernel.sched.run_queue import REAL_TIME_SLICE, SLICE, RunQueue
from kaa.kernel.signal.handlers import SignalHandlers


def make(number: int, nice: int = 0) -> Task:
    task = Task(ThreadGroup(number, SignalHandlers()), Pid(number))
    task.nice = nice
    task.weight = weights.weight(nice)
    task.inverse_weight = weights.inverse(nice)
    return task


def run(queue: RunQueue, slices: int, now: int = 0) -> int:
    """Always-runnable tasks take turns; gives the time after."""
    for _ in range(slices):
        task = queue.take_next()
        assert task is not None
        task.started = now
        task.slice_end = now + (REAL_TIME_SLICE if task.rt_priority else SLICE)
        now += SLICE
        queue.account(task, now)
        queue.put_back(task)
    return now


@pytest.mark.parametrize("nices", [(0, 0, 0), (0, 5), (-5, 0, 10), (-20, 19)])
def test_time_is_shared_by_weight(nices: tuple[int, ...]) -> None:
    queue = RunQueue()
    tasks = [make(i + 1, nice) for i, nice in enumerate(nices)]
    for task in tasks:
        queue.place_woken(task)
        queue.insert(task)
    total = run(queue, 3000)
    all_weights = sum(t.weight for t in tasks)
    for task in tasks:
        share = task.weight / all_weights
        assert task.run_time / total == pytest.approx(share, rel=0.05, abs=2 * SLICE / total)


def test_a_sleeper_runs_next_but_does_not_save_up_time() -> None:
    queue = RunQueue()
    hogs = [make(1), make(2)]
    for task in hogs:
        queue.place_woken(task)
        queue.insert(task)
    now = run(queue, 1000)
    sleeper = make(3)
    queue.place_woken(sleeper)
    queue.insert(sleeper)
    first = queue.take_next()
    assert first is sleeper
    first.started = now
    queue.insert(first)
    start = sleeper.run_time
    run(queue, 30, now)
    assert sleeper.run_time - start <= 13 * SLICE


def test_real_time_goes_first_by_priority_then_by_arrival() -> None:
    queue = RunQueue()
    fair, low, high, high2 = make(1, -20), make(2), make(3), make(4)
    for task, priority in ((low, 10), (high, 20), (high2, 20)):
        task.policy = Policy.SCHED_FIFO
        task.rt_priority = priority
    for task in (fair, low, high, high2):
        queue.place_woken(task)
        queue.insert(task)
    assert [queue.take_next() for _ in range(5)] == [high, high2, low, fair, None]


def test_round_robin_tasks_change_after_their_slice_and_fifo_tasks_do_not() -> None:
    for policy, expected in ((Policy.SCHED_RR, [1, 2]), (Policy.SCHED_FIFO, [1, 1])):
        queue = RunQueue()
        for number in (1, 2):
            task = make(number)
            task.policy = policy
            task.rt_priority = 5
            queue.place_woken(task)
            queue.insert(task)
        order = []
        for _ in range(2):
            task = queue.take_next()
            assert task is not None
            order.append(task.pid)
            task.started, task.slice_end = 0, REAL_TIME_SLICE
            queue.account(task, REAL_TIME_SLICE + 1)
            queue.put_back(task)
        assert order == expected
