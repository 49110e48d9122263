# SPDX-License-Identifier: Apache-2.0
"""Placement, balance, affinity and wake-ups on several processors, simulated."""

from __future__ import annotations

import pathlib
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaa.kernel.abi.sched import Policy
from kaa.kernel.process.task import Task
from kaa.kernel.sched import core, cpu, moving, policy
from kaa.kernel.sched.fair import SLICE
from kaa.kernel.sched.run_queue import ABSENT
from kaa.kernel.time.timer_queue import GRID, coarse
from kaa.lang import i32, u32, u64

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from machine_of_many import Machine  # noqa: E402


def make_real_time(task: Task, priority: int) -> None:
    policy.set_policy(task, u32(Policy.SCHED_FIFO), u32(priority), i32(0))


def test_new_tasks_fill_all_processors_before_they_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 4)
    tasks = []
    for _ in range(4):
        tasks.append(machine.start())
        machine.settle()
    assert set(map(id, machine.running())) == set(map(id, tasks))
    machine.check(tasks)


def test_a_sleeper_comes_back_to_its_processor_if_that_is_idle_else_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 2)
    first, second = machine.start(), None
    machine.settle()
    where = machine.running().index(first)
    assert machine.sleep(where) is first
    cpu.all.idle.fetch_or(3)
    with machine.on(1 - where):
        core.wake(first)
    machine.settle()
    assert machine.running()[where] is first
    machine.sleep(where)
    second = machine.start(on=where)
    machine.settle()
    moving.set_allowed(second, u64(1 << where))
    machine.settle()
    assert machine.running()[where] is second
    cpu.all.idle.store(1 << (1 - where))
    core.wake(first)
    machine.settle()
    assert machine.running()[1 - where] is first
    machine.check([first, second])


def test_equal_tasks_get_equal_shares_of_two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 2)
    tasks = [machine.start() for _ in range(4)]
    machine.settle()
    machine.run(400_000_000)
    for task in tasks:
        assert core.run_time(task) == pytest.approx(200_000_000, rel=0.08)
    machine.check(tasks)


def test_processors_tick_together_and_sooner_when_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """One interrupt of the host's serves all processors. Where somebody waits the next tick is a slice away, to half a
    step of the grid."""
    machine = Machine(monkeypatch, 2)
    tasks = [machine.start(), machine.start()]
    machine.settle()
    machine.now += 700_000
    queue = machine.cpus[0].run_queue
    for _ in range(3):
        machine.run(core.LONE_TICK)
        assert {one.run_queue.timers.tick % GRID for one in machine.cpus} == {0}
        assert all(machine.now < one.run_queue.timers.tick for one in machine.cpus)
    third = machine.start(on=0)
    machine.settle()
    moving.set_allowed(third, u64(1))
    machine.settle()
    assert queue.timers.tick <= machine.now + SLICE + GRID // 2
    machine.run(2 * core.LONE_TICK)
    assert third.run_time >= 3_000_000
    crowded = next(one.run_queue for one in machine.cpus if one.run_queue.waiting.load())
    assert crowded.timers.tick - machine.now <= GRID + GRID // 2
    machine.check([*tasks, third])


def test_short_slices_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asked for short slices and has company is looked at when one ends."""
    machine = Machine(monkeypatch, 1)
    short = machine.start()
    machine.settle()
    short.slice_ns = u64(200_000)
    short.virtual_slice = u64(200_000)
    machine.now += 700_000
    other = machine.start()
    timers = machine.cpus[0].run_queue.timers
    assert timers.tick <= machine.now + SLICE + GRID // 2
    machine.run(4 * SLICE, step=50_000)  # the request that it had made before is served
    for _ in range(20):
        machine.run(1_000_000, step=50_000)
        if machine.running()[0] is short:
            assert timers.tick <= machine.now + 250_000
    machine.check([short, other])


@given(st.integers(0, 10**15))
def test_the_grid_is_never_more_than_half_a_step_away(moment: int) -> None:
    assert abs(coarse(u64(moment)) - moment) <= GRID // 2
    assert coarse(u64(moment)) % GRID == 0


def test_a_processor_with_a_queue_gives_tasks_away(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 4)
    tasks = [machine.start() for _ in range(8)]
    for task in tasks:
        moving.set_allowed(task, u64(1))
        machine.settle()
    assert machine.cpus[0].run_queue.waiting.load() == 7
    for task in tasks:
        moving.set_allowed(task, u64(15))
    machine.run(200_000_000)
    assert [one.run_queue.waiting.load() for one in machine.cpus] == [1, 1, 1, 1]
    machine.check(tasks)


def test_a_running_task_leaves_a_processor_that_it_may_not_use(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 2)
    task = machine.start()
    machine.settle()
    where = machine.running().index(task)
    monkeypatch.setattr(moving, "_wait_until_allowed", lambda task: None)
    with machine.on(1 - where):
        moving.set_allowed(task, u64(1 << (1 - where)))
    assert machine.running()[where] is task, "its processor has not heard of it yet"
    machine.settle()
    assert machine.running()[1 - where] is task
    machine.check([task])


def test_a_woken_real_time_task_runs_where_the_least_important_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 3)
    tasks = [machine.start() for _ in range(3)]
    machine.settle()
    make_real_time(tasks[0], 50)
    make_real_time(tasks[1], 10)
    machine.settle()
    urgent = machine.start()
    machine.settle()
    sleeping = urgent
    if urgent in machine.running():
        machine.sleep(machine.running().index(urgent))
    else:
        moving.set_allowed(urgent, u64(7))
        queue = urgent.queue
        assert queue is not None
        queue.remove(urgent)
        urgent.on_queue = ABSENT
        core.set_state(urgent, u64(core.INTERRUPTIBLE))
    make_real_time(sleeping, 20)
    machine.settle()
    core.wake(sleeping)
    machine.settle()
    running = machine.running()
    assert sleeping in running and tasks[0] in running and tasks[1] in running


def test_a_wake_up_between_mark_and_switch_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 2)
    task = machine.start()
    machine.settle()
    where = machine.running().index(task)
    with machine.on(where):
        core.set_state(task, u64(core.INTERRUPTIBLE))
    with machine.on(1 - where):
        core.wake(task)
    with machine.on(where):
        core.schedule()
    machine.settle()
    assert task in machine.running()
    machine.check([task])


def test_a_task_preempted_after_its_mark_stays_runnable(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 1)
    task, other = machine.start(), machine.start()
    machine.settle()
    running = machine.running()[0]
    core.set_state(running, u64(core.INTERRUPTIBLE))
    core.preempt()
    assert running.on_queue != ABSENT
    machine.check([task, other])


steps = st.lists(
    st.tuples(st.sampled_from(["start", "sleep", "wake", "pin", "free", "nice", "fifo", "other", "run"]),
              st.integers(0, 3), st.integers(0, 7)),
    max_size=60,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_whatever_happens_each_task_is_in_one_place(
    monkeypatch: pytest.MonkeyPatch, script: list[tuple[str, int, int]]
) -> None:
    with monkeypatch.context() as patch:
        machine = Machine(patch, 4)
        tasks: list[Task] = []
        asleep: list[Task] = []
        for what, on, which in script:
            task = tasks[which % len(tasks)] if tasks else None
            with machine.on(on):
                if what == "start" and len(tasks) < 8:
                    tasks.append(machine.start(on))
                elif what == "sleep" and machine.running()[on] in tasks:
                    asleep.append(machine.sleep(on))
                elif what == "wake" and asleep:
                    core.wake(asleep.pop(which % len(asleep)))
                elif what == "run":
                    machine.run(2_000_000 * which)
                elif task is not None and what == "pin":
                    moving.set_allowed(task, u64(1 << (which % 4)))
                elif task is not None and what == "free":
                    moving.set_allowed(task, u64(15))
                elif task is not None and what == "nice":
                    policy.set_nice(task, i32(which * 5 - 20))
                elif task is not None and what == "fifo":
                    make_real_time(task, which + 1)
                elif task is not None and what == "other":
                    policy.set_policy(task, u32(0), u32(0), i32(0))
            machine.settle()
            machine.check(tasks)
        idle = [one.run_queue for one in machine.cpus if one.run_queue.current is one.run_queue.idle]
        for queue in idle:
            assert queue.waiting.load() == 0, "a processor is idle with tasks waiting"
