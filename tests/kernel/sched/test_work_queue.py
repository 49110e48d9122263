# SPDX-License-Identifier: Apache-2.0
"""Work queues, whose workers are played by calls of `take`, `run` and `done`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kaa.kernel import log  # noqa: F401  (the machine's modules load in this order)
from kaa.kernel.arch import machine
from kaa.kernel.locking.waiters import Waiter
from kaa.kernel.process.task import Task
from kaa.kernel.sched import core
from kaa.kernel.sched.work_queue import DelayedWork, Work, WorkQueue
from kaa.kernel.time import timer
from kaa.lang import Atomic


class Note(Work):
    """Writes down that it ran."""

    def __init__(self, ran: list[int], number: int) -> None:
        super().__init__()
        self.ran = ran
        self.number = number

    def run(self) -> None:
        self.ran.append(self.number)


def work_off(queue: WorkQueue, worker: int = 0) -> bool:
    """One turn of a worker."""
    work = queue.take(worker)
    if work is None:
        return False
    work.run()
    queue.done(worker)
    return True


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What happens while the caller sleeps."""
    meanwhile: list[Any] = []
    task: Any = object.__new__(Task)
    task.kernel_stack = 0
    task.state = Atomic(0)
    task.waiter = Waiter(task)
    machine.percpu.set_current(task)
    machine.irq.enable()

    def schedule() -> None:
        assert meanwhile, "sleeps for ever"
        meanwhile.pop(0)()

    monkeypatch.setattr(core, "schedule", schedule)
    monkeypatch.setattr(core, "wake", lambda task: None)  # type: ignore[misc]
    yield meanwhile
    assert not meanwhile and machine.irq.enabled() and machine.percpu.preempt_count() == 0


def test_works_are_done_in_order_and_once() -> None:
    ran: list[int] = []
    queue = WorkQueue("q", 2)
    notes = [Note(ran, n) for n in range(3)]
    assert all(queue.add(note) for note in notes)
    assert not queue.add(notes[1]), "it waits already"
    while work_off(queue):
        pass
    assert ran == [0, 1, 2]
    assert queue.add(notes[1]) and work_off(queue) and ran == [0, 1, 2, 1]


def test_a_work_may_be_added_while_it_runs() -> None:
    ran: list[int] = []
    queue = WorkQueue("q")
    note = Note(ran, 5)
    queue.add(note)
    assert queue.take(0) is note and queue.add(note)
    queue.done(0)
    assert work_off(queue) and not work_off(queue)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_is_cancelled_does_not_run(which: int) -> None:
    ran: list[int] = []
    queue = WorkQueue("q")
    notes = [Note(ran, n) for n in range(3)]
    for note in notes:
        queue.add(note)
    assert queue.cancel(notes[which]) and not queue.cancel(notes[which])
    assert queue.add(notes[which])
    while work_off(queue):
        pass
    assert ran == [n for n in range(3) if n != which] + [which]


def test_a_flush_waits_for_what_was_added_before_and_for_no_more(asleep: list[Any]) -> None:
    ran: list[int] = []
    queue = WorkQueue("q", 2)
    first, second, later = (Note(ran, n) for n in range(3))
    queue.add(first)
    queue.add(second)
    assert queue.take(0) is first
    asleep += [lambda: work_off(queue, 1), lambda: queue.add(later), lambda: queue.done(0)]
    queue.flush()
    assert ran == [1] and queue.length.load() == 1


def test_cancelling_wakes_who_flushes(asleep: list[Any]) -> None:
    queue = WorkQueue("q")
    note = Note([], 0)
    queue.add(note)
    woken: list[int] = []
    plain = queue.finished.wake_all
    queue.finished.wake_all = lambda: (woken.append(1), plain())  # type: ignore[method-assign]
    asleep.append(lambda: queue.cancel(note))
    queue.flush()
    assert woken == [1]


def test_cancel_and_wait_waits_for_a_worker_that_began(asleep: list[Any]) -> None:
    queue = WorkQueue("q")
    note = Note([], 0)
    queue.add(note)
    queue.take(0)
    asleep.append(lambda: queue.done(0))
    assert not queue.cancel_and_wait(note)


def test_delayed_work_is_added_when_its_time_comes(monkeypatch: pytest.MonkeyPatch, asleep: list[Any]) -> None:
    armed: list[Any] = []
    monkeypatch.setattr(timer, "arm", lambda found, deadline: armed.append((found, deadline)))  # type: ignore[misc]
    monkeypatch.setattr(timer, "cancel_sync", lambda found: bool(armed) and bool(armed.pop()))  # type: ignore[misc]
    monkeypatch.setattr(machine.clock, "monotonic_ns", lambda: 1000)
    queue = WorkQueue("q")
    work = DelayedWork()
    work.add_after(queue, 500)
    assert armed[0][1] == 1500 and queue.length.load() == 0
    work.timer.expired()
    assert queue.length.load() == 1 and work.timer.work is None
    armed.clear()
    assert work.cancel_delayed() and queue.length.load() == 0
    work.add_after(queue, 500)
    assert work.cancel_delayed() and not armed and not work.cancel_delayed()
