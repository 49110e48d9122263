# SPDX-License-Identifier: Apache-2.0
"""Locks and wait queues with scripted tasks: `schedule` runs what the other tasks would do meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kaa.kernel import log
from kaa.kernel.abi.restart import Restart
from kaa.kernel.arch import machine
from kaa.kernel.locking import spin_word
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.rwsem import RwSem
from kaa.kernel.locking.spin_word import places
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
        task.state = Atomic(core.RUNNING)
        task.waiter = Waiter(task)
        task.lock_waiter = Waiter(task)
        self.tasks.append(task)
        return task

    def run(self, task: Any) -> None:
        machine.percpu.set_current(task)

    def schedule(self) -> None:
        sleeper = machine.percpu.current()
        assert self.meanwhile or sleeper.state.load() == core.RUNNING, "sleeps for ever"
        while sleeper.state.load() != core.RUNNING:
            self.meanwhile.pop(0)()
        self.run(sleeper)

    def wake(self, task: Any) -> None:
        task.state.store(core.RUNNING)
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


def test_a_mutex_given_back_wakes_the_first_in_line(world: Machine) -> None:
    a, b = world.task(), world.task()
    mutex = Mutex("m")

    def give() -> None:
        world.run(a)
        mutex.release()

    world.run(a)
    mutex.acquire()
    assert not mutex.try_acquire()
    world.run(b)
    world.meanwhile = [give]
    mutex.acquire()
    assert world.woken == [b] and mutex.state.load() == machine.running.word(), "the line is empty, and says so"
    mutex.release()
    assert not mutex.is_held() and mutex.state.load() == 0


def test_a_waiter_is_overtaken_once_and_then_the_mutex_is_handed_to_it(world: Machine) -> None:
    a, b, c, d = (world.task() for _ in range(4))
    mutex = Mutex("m")

    def given_and_overtaken() -> None:
        world.run(a)
        mutex.release()
        assert not mutex.is_held()
        world.run(c)
        mutex.acquire()

    def given_again() -> None:
        world.run(c)
        mutex.release()
        assert mutex.is_held(), "who was overtaken has it without its becoming free"
        world.run(d)
        assert not mutex.try_acquire()

    world.run(a)
    mutex.acquire()
    world.run(b)
    world.meanwhile = [given_and_overtaken, given_again]
    mutex.acquire()
    assert world.woken == [b, b] and not world.meanwhile
    mutex.release()
    assert mutex.state.load() == 0


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

    def leave() -> None:
        world.run(writer)
        sem.release_write()

    def second_waits() -> None:
        world.run(second)
        world.meanwhile.insert(0, leave)
        sem.acquire_read()

    def wake_too_early() -> None:
        world.wake(first)

    world.meanwhile = [wake_too_early, second_waits]
    world.run(first)
    sem.acquire_read()
    assert world.woken == [first, first, second]
    sem.release_read()
    sem.release_read()
    with sem.write():
        pass


def test_a_waiter_for_a_semaphore_is_overtaken_once_and_then_let_in(world: Machine) -> None:
    for reading in (False, True):
        a, b, c, d = (world.task() for _ in range(4))
        sem = RwSem("s")
        world.woken.clear()

        def given_and_overtaken(sem: RwSem = sem, a: Any = a, c: Any = c) -> None:
            world.run(a)
            sem.release_write()
            world.run(c)
            sem.acquire_write()
            assert not sem.try_read()

        def given_again(sem: RwSem = sem, c: Any = c, d: Any = d) -> None:
            world.run(c)
            sem.release_write()
            world.run(d)
            assert sem.state.load() != 0, "who was overtaken is in without its having been empty"

        world.run(a)
        sem.acquire_write()
        world.run(b)
        world.meanwhile = [given_and_overtaken, given_again]
        (sem.acquire_read if reading else sem.acquire_write)()
        assert world.woken == [b, b] and not world.meanwhile
        (sem.release_read if reading else sem.release_write)()
        assert sem.state.load() == 0


def downgrade(sem: RwSem) -> None:
    """The writer becomes a reader."""
    sem.begin_downgrade()
    sem.end_downgrade()


def test_a_writer_that_becomes_a_reader_lets_readers_in_and_writers_not(world: Machine) -> None:
    writer, reader, other = world.task(), world.task(), world.task()
    sem = RwSem("s")

    def become_reader() -> None:
        world.run(writer)
        downgrade(sem)

    world.run(writer)
    sem.acquire_write()
    downgrade(sem)
    assert sem.try_read()
    sem.release_read()
    world.run(other)
    world.meanwhile = [lambda: (world.run(writer), sem.release_read())]
    sem.acquire_write()
    assert world.woken == [other] and not world.meanwhile, "the reader inside was waited for"
    sem.release_write()
    assert sem.state.load() == 0

    world.woken.clear()
    world.run(writer)
    sem.acquire_write()
    world.run(reader)
    world.meanwhile = [become_reader]
    sem.acquire_read()
    assert world.woken == [reader]
    sem.release_read()
    sem.release_read()
    assert sem.state.load() == 0


def test_a_writer_that_becomes_a_reader_wakes_no_waiting_writer_in_vain(world: Machine) -> None:
    writer, other = world.task(), world.task()
    sem = RwSem("s")

    def become_reader() -> None:
        world.run(writer)
        downgrade(sem)
        assert world.woken == [] and not sem.try_read(), "who waits comes first"
        world.meanwhile.insert(0, sem.release_read)
        world.run(other)
        core.schedule()

    world.run(writer)
    sem.acquire_write()
    world.run(other)
    world.meanwhile = [become_reader]
    sem.acquire_write()
    assert world.woken == [other]
    sem.release_write()
    assert sem.state.load() == 0


def test_readers_are_overtaken_only_where_nobody_is_inside(world: Machine) -> None:
    a, b, c = (world.task() for _ in range(3))
    sem = RwSem("s")

    def one_leaves() -> None:
        world.run(a)
        sem.release_read()
        world.run(c)
        assert not sem.try_read() and sem.state.load() & 2
        world.run(a)
        sem.release_read()
        world.run(c)
        sem.acquire_read()  # empty: the writer in line has been woken, and does not run yet
        assert b.state.load() == core.RUNNING

    def last_leaves() -> None:
        world.run(c)
        sem.release_read()

    world.run(a)
    sem.acquire_read()
    sem.acquire_read()
    world.run(b)
    world.meanwhile = [one_leaves, last_leaves]
    sem.acquire_write()
    assert world.woken == [b, b]
    sem.release_write()
    assert sem.state.load() == 0


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
        assert happened[0] and not queue.has_waiters() and task.state.load() == core.RUNNING


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


def test_a_wake_up_that_chose_a_task_which_gives_up_goes_to_the_next(world: Machine) -> None:
    """The event comes after the last look at the condition, together with a signal: the sleeper leaves by the signal,
    and whoever sleeps behind it must not sleep on beside what it waits for."""
    first, second = world.task(), world.task()
    queue = WaitQueue("q")
    behind = Waiter(second)
    behind.exclusive = True
    looks: list[int] = []

    def condition() -> bool:
        looks.append(1)
        if len(looks) == 2:
            queue.add(behind)
            queue.wake_one()
            first.work.fetch_or(1)
        return False

    world.run(first)
    with pytest.raises(Restart):
        queue.wait_interruptible(condition)
    assert behind.woken and second in world.woken
    assert not queue.has_waiters() and not first.waiter.exclusive


def test_who_waits_for_the_time_passes_a_late_wake_up_on(world: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = world.task(), world.task()
    queue = WaitQueue("q")
    behind = Waiter(second)
    behind.exclusive = True
    looks: list[int] = []

    def condition() -> bool:
        looks.append(1)
        if len(looks) == 2:
            queue.add(behind)
            queue.wake_one()
        return False

    monkeypatch.setattr(machine.clock, "monotonic_ns", lambda: 1000)
    world.run(first)
    assert not queue.wait_until_timeout(condition, 1000)
    assert behind.woken and not queue.has_waiters()


def test_the_owner_of_a_mutex_is_known(world: Machine) -> None:
    owner, stranger = world.task(), world.task()
    mutex, sem = Mutex("m"), RwSem("s")
    world.run(owner)
    mutex.acquire()
    sem.acquire_write()
    with pytest.raises(AssertionError, match="taken twice"):
        mutex.acquire()
    with pytest.raises(AssertionError, match="enters twice"):
        sem.acquire_read()
    world.run(stranger)
    with pytest.raises(AssertionError, match="another task"):
        mutex.release()
    with pytest.raises(AssertionError, match="stranger"):
        sem.release_write()
    world.run(owner)
    mutex.release()
    sem.release_write()
    assert not mutex.is_held()


def test_a_mutex_is_spun_for_while_its_owner_runs(world: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, spinner = world.task(), world.task()
    mutex, sem = Mutex("m"), RwSem("s")
    world.run(owner)
    owner_word = machine.running.word()
    mutex.acquire()
    sem.acquire_write()
    looks: list[int] = []

    def on_another(word: int) -> bool:
        if word != owner_word:
            return False
        looks.append(1)
        if len(looks) % 4 == 3:
            world.run(owner)
            (mutex if mutex.is_held() else sem).__getattribute__("release" if mutex.is_held() else "release_write")()
            world.run(spinner)
        return True

    monkeypatch.setattr(machine.running, "on_another", on_another)
    world.run(spinner)
    mutex.acquire()
    assert mutex.is_held() and not world.woken and len(looks) == 3
    mutex.release()
    looks.clear()
    sem.acquire_read()
    assert not world.woken and sem.try_read()


def test_nobody_spins_for_an_owner_that_sleeps_or_beside_another_spinner(
    world: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, waiter = world.task(), world.task()
    mutex = Mutex("m")

    def give() -> None:
        world.run(owner)
        mutex.release()

    for runs, spinning in ((False, 0), (True, 1)):
        monkeypatch.setattr(machine.running, "on_another", lambda word: runs)  # noqa: B023
        world.run(owner)
        mutex.acquire()
        mutex.spinning.store(spinning)
        world.run(waiter)
        world.meanwhile = [give]
        mutex.acquire()
        assert world.woken.pop() is waiter
        mutex.release()


def test_a_spinlock_with_interrupts_off_is_waited_for_with_interrupts_on(
    world: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = IrqSpinLock("x")
    lock.word.store(1)
    seen: list[bool] = []

    def relax() -> None:
        seen.append(machine.irq.enabled())
        if len(seen) == 5:
            lock.give_word()

    monkeypatch.setattr(machine.irq, "relax", relax)
    with lock:
        assert seen == [True] * 5 and not machine.irq.enabled()
    assert machine.irq.enabled()
    lock.word.store(1)
    seen.clear()
    flags = machine.irq.save()
    with lock:
        assert seen == [False] * 5
    machine.irq.restore(flags)


def test_processors_get_a_spinlock_in_order_of_arrival(world: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each processor is played by a call inside the spinning of the one that waits longest."""
    lock = SpinLock("x")
    order: list[int] = []
    arriving = [1, 2, 3]
    spins: list[int] = []
    monkeypatch.setattr(machine.percpu, "preempt_enable", lambda: None)

    def relax() -> None:
        spins.append(1)
        if arriving:
            number = arriving.pop(0)
            machine.percpu.simulated["number"] = number
            place, behind = number * 4 + 1, number * 16
            places.words[behind].store(0)
            places.words[behind + 4].store(0)
            previous = lock.word.load() >> 16
            lock.word.store(1 | place << 16)
            places.words[(previous - 1) // 4 * 16 + (previous - 1) % 4].store(place)
            machine.percpu.simulated["number"] = 0
        elif len(spins) == 10:
            lock.give_word()
            order.append(99)

    monkeypatch.setattr(machine.irq, "relax", relax)
    lock.acquire()
    machine.percpu.simulated["number"] = 0
    lock.acquire()
    assert order == [99]
    assert lock.is_held() and lock.word.load() >> 16 == 13, "the queue went, although three still wait"
    assert places.words[16 + 4].load() == 1, "the second was not told that it is first"
    assert places.words[32 + 4].load() == 0 and places.words[48 + 4].load() == 0
    lock.word.store(0)
    machine.percpu.simulated["count"] = 0


def test_a_spinlock_never_given_back_is_a_panic(world: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Panicked(Exception):
        pass

    def panic(message: str) -> None:
        raise Panicked(message)

    now = [0]

    def monotonic_ns() -> int:
        now[0] += 15_000_000_000
        return now[0]

    monkeypatch.setattr(log, "panic", panic)
    monkeypatch.setattr(machine.clock, "monotonic_ns", monotonic_ns)
    monkeypatch.setattr(spin_word, "PATIENCE", 16)
    lock = SpinLock("x")
    lock.acquire()
    with pytest.raises(Panicked, match="not given back for 60 s"):
        lock.acquire()
    places.words[8].store(0)
    machine.percpu.simulated["count"] = 0
