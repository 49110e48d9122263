# SPDX-License-Identifier: Apache-2.0
"""Locks and wait queues with scripted tasks: `schedule` runs what the other tasks would do meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kaa.kernel.abi.restart import Restart
from kaa.kernel.arch import machine
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.rwsem import RwSem
from kaa.kernel.locking.spinlock import IrqSpinLock, SpinLock
from kaa.kernel.locking.wait_queue import Waiter, WaitQueue
from kaa.kernel.process.task import Task
from kaa.kernel.sched import core
from kaa.lang import Atomic


class Machine:
    """Some tasks; `meanwhile` holds what happens at each schedule()."""

    def __init__(self) -> None:
        self.tasks: list[Any] = []
        self.meanwhile: list[Callable[[], None]] = []
        self.woken: list[Any] = []

    def task(self) -> Any:
        task: Any = object.__new__(Task)
        task.kernel_stack = 0
        task.work = Atomic(0)
        task.state = core.RUNNING
        task.waiter = Waiter(task)
        task.lock_waiter = Waiter(task)
        self.tasks.append(task)
        return task

    def run(self, task: Any) -> None:
        machine.percpu.set_current(task)

    def schedule(self) -> None:
        sleeper = machine.percpu.current()
        assert self.meanwhile or sleeper.state == core.RUNNING, "sleeps for ever"
        while sleeper.state != core.RUNNING:
            self.meanwhile.pop(0)()
        self.run(sleeper)

    def wake(self, task: Any) -> None:
        task.state = core.RUNNING
        self.woken.append(task)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    found = Machine()
    monkeypatch.setattr(core, "schedule", found.schedule)
    monkeypatch.setattr(core, "wake", found.wake)
    machine.percpu.simulated["count"] = 0
    machine.percpu.simulated["resched"] = 0
    machine.irq.enable()
    yield found
    assert machine.percpu.preempt_count() == 0 and machine.irq.enabled()


def test_spinlocks_restore_preemption_and_interrupts(world: Machine) -> None:
    lock, irq_lock = SpinLock("a"), IrqSpinLock("b")
    with lock:
        assert machine.percpu.preempt_count() == 1 and not lock.try_acquire()
        with irq_lock:
            assert not machine.irq.enabled()
        assert machine.irq.enabled()
    assert lock.try_acquire()
    lock.release()


def test_a_mutex_is_handed_to_waiters_in_order(world: Machine) -> None:
    a, b, c = world.task(), world.task(), world.task()
    mutex = Mutex("m")
    order: list[Any] = []

    def take(task: Any) -> None:
        world.run(task)
        mutex.acquire()
        order.append(task)

    def give(task: Any) -> None:
        world.run(task)
        mutex.release()

    def c_waits() -> None:
        world.meanwhile.insert(0, lambda: give(a))
        world.meanwhile.insert(1, lambda: (b in world.woken) and give(b))
        take(c)

    take(a)
    assert not mutex.try_acquire()
    world.meanwhile = [c_waits]
    take(b)
    assert order == [a, c, b] or order == [a, b, c]
    assert world.woken[0] is b, "the first to wait is served first"


def test_a_freed_mutex_can_be_taken_at_once(world: Machine) -> None:
    world.run(world.task())
    mutex = Mutex("m")
    for _ in range(3):
        with mutex:
            assert mutex.is_held()
    assert not mutex.is_held() and mutex.try_acquire()


def test_readers_share_and_a_writer_waits_for_all_of_them(world: Machine) -> None:
    reader, writer = world.task(), world.task()
    sem = RwSem("s")
    world.run(reader)
    sem.acquire_read()
    sem.acquire_read()
    world.run(writer)

    def leave() -> None:
        assert not sem.try_read(), "a reader overtook the waiting writer"
        sem.release_read()

    world.meanwhile = [leave, leave]
    with sem.write():
        assert not sem.try_read()
        assert not world.meanwhile
    with sem.read():
        assert sem.try_read()
        sem.release_read()
    with sem.write():
        pass


def test_all_readers_behind_a_writer_are_let_in_together(world: Machine) -> None:
    writer, first, second = world.task(), world.task(), world.task()
    sem = RwSem("s")
    world.run(writer)
    sem.acquire_write()

    def second_waits() -> None:
        world.run(second)
        world.meanwhile.insert(0, sem.release_write)
        sem.acquire_read()

    world.meanwhile = [second_waits]
    world.run(first)
    sem.acquire_read()
    assert world.woken == [first, second]
    sem.release_read()
    sem.release_read()
    with sem.write():
        pass


def test_no_wakeup_is_lost_between_looking_and_sleeping(world: Machine) -> None:
    """The event happens just before the sleeper is on the queue, just after, and while it sleeps."""
    task = world.task()
    for late in range(4):
        queue = WaitQueue("q")
        looks: list[int] = []
        happened = [False]

        def happen() -> None:
            happened[0] = True
            queue.wake_all()

        def condition() -> bool:
            seen = happened[0]
            looks.append(1)
            if len(looks) == late:
                happen()
            return seen

        world.run(task)
        world.meanwhile = [happen]
        queue.wait_until(condition)
        assert happened[0] and not queue.has_waiters() and task.state == core.RUNNING


def test_wake_one_wakes_one_sleeper_and_every_poller(world: Machine) -> None:
    queue = WaitQueue("q")
    poller, one, two = Waiter(world.task()), Waiter(world.task()), Waiter(world.task())
    one.exclusive = two.exclusive = True
    for waiter in (one, poller, two):
        queue.add(waiter)
    queue.wake_one()
    assert one.woken and not two.woken and one.queue is None and two.queue is queue
    queue.wake_one()
    assert two.woken and poller.woken and poller.queue is queue
    queue.remove(poller)
    queue.remove(poller)
    assert not queue.has_waiters()


def test_a_signal_ends_an_interruptible_wait_and_leaves_no_waiter(world: Machine) -> None:
    task = world.task()
    world.run(task)
    queue = WaitQueue("q")

    def signal() -> None:
        task.work.fetch_or(1)
        world.wake(task)

    world.meanwhile = [signal]
    with pytest.raises(Restart):
        queue.wait_interruptible(lambda: False)
    assert not queue.has_waiters() and not task.waiter.exclusive
    queue.wait_interruptible(lambda: True)
