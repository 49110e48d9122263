# SPDX-License-Identifier: Apache-2.0
"""The run queue: shares by weight, bounded lag, who wakes and who preempts, real-time first but not all the time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.kernel.abi.sched import Policy
from kaa.kernel.process.group import ThreadGroup
from kaa.kernel.process.pid import Pid
from kaa.kernel.process.task import Task
from kaa.kernel.sched import fair, weights
from kaa.kernel.sched.fair import SLICE
from kaa.kernel.sched.real_time import PERIOD, ROUND, RUNTIME
from kaa.kernel.sched.run_queue import QUEUED, RunQueue
from kaa.kernel.signal.handlers import SignalHandlers
from kaa.kernel.time.timer_queue import TimerQueue


def make(number: int, nice: int = 0, slice_ns: int = SLICE) -> Task:
    task = Task(ThreadGroup(number, SignalHandlers()), Pid(number))
    task.nice = nice
    task.weight = weights.weight(nice)
    task.inverse_weight = weights.inverse(nice)
    task.slice_ns = slice_ns
    task.virtual_slice = (slice_ns * task.inverse_weight) >> weights.INVERSE_SHIFT
    return task


def real_time(number: int, priority: int, policy: Policy = Policy.SCHED_FIFO) -> Task:
    task = make(number)
    task.policy = policy
    task.rt_priority = priority
    return task


def distance(later: int, earlier: int) -> int:
    """Virtual times wrap."""
    return (later - earlier + (1 << 63)) % (1 << 64) - (1 << 63)


class Processor:
    """A run queue that is driven as core.py drives it, with a clock of its own."""

    def __init__(self) -> None:
        self.queue = RunQueue(0, TimerQueue())
        self.idle = make(1000)
        self.queue.set_idle(self.idle)
        self.now = 1_000_000_000

    def wake(self, task: Task) -> bool:
        """Gives whether it is to preempt."""
        queue = self.queue
        running = queue.current
        assert running is not None
        queue.account(running, self.now)
        queue.admit(task, running)
        task.on_queue = QUEUED
        return running is self.idle or queue.is_preempted_by(task, running)

    def choose(self, sleeps: bool = False) -> Task:
        """The running task is put back or sleeps; who runs next?"""
        queue = self.queue
        previous = queue.current
        assert previous is not None
        queue.account(previous, self.now)
        if previous is not self.idle:
            if sleeps:
                queue.leave(previous)
            else:
                queue.put_back(previous)
        following = queue.take_next(self.now) or self.idle
        queue.begin(following, self.now)
        queue.current = following
        return following

    def run_slice(self, at_most: int = 10**12) -> None:
        """Until the running task's slice ends, as the tick would find, or for `at_most` ns."""
        running = self.queue.current
        assert running is not None
        self.now += max(1000, min(fair.unserved_ns(running), at_most))


def run(processor: Processor, slices: int) -> int:
    began = processor.now
    for _ in range(slices):
        processor.choose()
        processor.run_slice()
    processor.choose()
    return processor.now - began


@pytest.mark.parametrize("nices", [(0, 0, 0), (0, 5), (-5, 0, 10), (-20, 19), (3,) * 10])
def test_time_is_shared_by_weight_within_one_percent(nices: tuple[int, ...]) -> None:
    processor = Processor()
    tasks = [make(i + 1, nice) for i, nice in enumerate(nices)]
    for task in tasks:
        processor.wake(task)
    total = run(processor, 6000)
    all_weights = sum(t.weight for t in tasks)
    for task in tasks:
        assert task.run_time / total == pytest.approx(task.weight / all_weights, rel=0.01, abs=2 * SLICE / total)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-20, 19), st.sampled_from([fair.SHORTEST_SLICE, SLICE, 10_000_000])),
        min_size=2,
        max_size=8,
    ),
    st.lists(st.integers(0, 7), min_size=10, max_size=60),
)
def test_lag_stays_within_what_sleepers_keep_and_a_slice(kinds: list[tuple[int, int]], sleepers: list[int]) -> None:
    """Stoica and Abdel-Wahab, theorem 1: -r < lag < max(r, q), r the longest own request, q the longest of all, as
    service time, as long as all stay; who comes back brings at most LAG_SLICES besides."""
    processor = Processor()
    tasks = [make(i + 1, nice, length) for i, (nice, length) in enumerate(kinds)]
    longest = max(length for _, length in kinds)
    for task in tasks:
        processor.wake(task)
    processor.choose()
    asleep: list[Task] = []
    for who in sleepers:
        processor.run_slice()
        running = processor.queue.current
        if who < len(tasks) and running is tasks[who] and len(asleep) < len(tasks) - 1:
            asleep.append(tasks[who])
            processor.choose(sleeps=True)
        else:
            processor.choose()
        if asleep and who % 3 == 0:
            processor.wake(asleep.pop(0))
        queue = processor.queue
        now = queue.fair.virtual_time(queue.fair_running())
        for task in tasks:
            if task not in asleep:
                lag = distance(now, task.vruntime) * task.weight / weights.UNIT
                assert abs(lag) <= (fair.LAG_SLICES + 1) * longest


def test_the_mean_is_what_the_sum_says() -> None:
    processor = Processor()
    tasks = [make(i + 1, nice) for i, nice in enumerate((-10, 0, 4, 19))]
    for index, task in enumerate(tasks):
        processor.wake(task)
        task_time = index * 700_000
        processor.now += task_time
    run(processor, 137)
    queue = processor.queue
    running = queue.fair_running()
    assert running is not None
    exact = sum(t.vruntime * t.weight for t in tasks) // sum(t.weight for t in tasks)
    assert queue.fair.virtual_time(running) == exact


def test_a_sleeper_keeps_what_it_is_owed_and_no_more() -> None:
    processor = Processor()
    hogs = [make(1), make(2)]
    for task in hogs:
        processor.wake(task)
    run(processor, 1001)
    sleeper = make(3)
    processor.wake(sleeper)
    while processor.choose() is not sleeper:
        processor.run_slice()
    processor.run_slice(at_most=500_000)
    processor.choose(sleeps=True)
    run(processor, 300)
    before = sleeper.run_time
    processor.wake(sleeper)
    began = processor.now
    run(processor, 60)
    share = (sleeper.run_time - before) / (processor.now - began)
    assert share == pytest.approx(1 / 3, abs=0.04)


def test_a_task_with_short_slices_runs_before_those_with_long_ones() -> None:
    processor = Processor()
    hogs = [make(i + 1, slice_ns=10_000_000) for i in range(4)]
    for task in hogs:
        processor.wake(task)
    run(processor, 50)
    quick = make(9, slice_ns=fair.SHORTEST_SLICE)
    processor.run_slice(at_most=2_000_000)
    assert processor.wake(quick)
    assert processor.choose() is quick


@pytest.mark.parametrize(("lag", "preempts"), [(-1_000_000, False), (0, False), (5_000_000, True)])
def test_a_woken_task_preempts_when_it_is_owed_enough(lag: int, preempts: bool) -> None:
    processor = Processor()
    for number in (1, 2, 3):
        processor.wake(make(number))
    processor.choose()
    processor.now += 500_000
    task = make(4)
    task.lag = lag
    assert processor.wake(task) == preempts


def test_batch_and_idle_tasks_never_preempt_and_idle_ones_always_give_way() -> None:
    for policy in (Policy.SCHED_BATCH, Policy.SCHED_IDLE):
        processor = Processor()
        processor.wake(make(1))
        processor.choose()
        processor.now += 2_500_000
        quiet = make(2)
        quiet.policy = policy
        assert not processor.wake(quiet)
    processor = Processor()
    idler = make(1)
    idler.policy = Policy.SCHED_IDLE
    processor.wake(idler)
    processor.choose()
    assert processor.wake(make(2))


def test_who_yields_runs_after_everyone_who_is_due() -> None:
    processor = Processor()
    tasks = [make(i + 1) for i in range(3)]
    for task in tasks:
        processor.wake(task)
    first = processor.choose()
    processor.now += 1000
    processor.queue.account(first, processor.now)
    processor.queue.give_way(first)
    assert processor.choose() is not first


def test_real_time_goes_first_by_priority_then_by_arrival() -> None:
    processor = Processor()
    ordinary, low, high, high2 = make(1, -20), real_time(2, 10), real_time(3, 20), real_time(4, 20)
    for task in (ordinary, low, high, high2):
        processor.wake(task)
    queue = processor.queue
    assert [queue.take_next(processor.now) for _ in range(5)] == [high, high2, low, ordinary, None]


def test_real_time_preempts_lower_priorities_only() -> None:
    processor = Processor()
    processor.wake(make(1, -20))
    processor.choose()
    assert processor.wake(real_time(2, 5))
    processor.choose()
    assert not processor.wake(real_time(3, 5))
    assert not processor.wake(make(4, -20))
    assert processor.wake(real_time(5, 6))


def test_a_preempted_fifo_task_is_the_next_of_its_priority() -> None:
    processor = Processor()
    first, second, urgent = real_time(1, 5), real_time(2, 5), real_time(3, 9)
    processor.wake(first)
    processor.choose()
    processor.wake(second)
    processor.wake(urgent)
    assert processor.choose() is urgent
    assert processor.choose(sleeps=True) is first


@pytest.mark.parametrize(("policy", "expected"), [(Policy.SCHED_RR, [1, 2, 1]), (Policy.SCHED_FIFO, [1, 1, 1])])
def test_round_robin_tasks_change_after_their_slice_and_fifo_tasks_do_not(policy: Policy, expected: list[int]) -> None:
    processor = Processor()
    for number in (1, 2):
        processor.wake(real_time(number, 5, policy))
    order: list[int] = []
    for _ in range(3):
        order.append(processor.choose().pid)
        processor.now += ROUND + 1
    assert order == expected


def test_real_time_leaves_a_twentieth_of_each_second_to_the_others() -> None:
    processor = Processor()
    hog, starving = real_time(1, 50), make(2)
    processor.wake(hog)
    processor.wake(starving)
    processor.choose()
    for _ in range(4000):
        processor.now += 1_000_000
        queue = processor.queue
        running = queue.current
        assert running is not None
        queue.account(running, processor.now)
        if queue.is_used_up(running, processor.now):
            processor.choose()
    processor.choose()
    share = hog.run_time / (hog.run_time + starving.run_time)
    assert share == pytest.approx(RUNTIME / PERIOD, abs=0.005)
