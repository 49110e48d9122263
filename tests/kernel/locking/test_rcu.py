# SPDX-License-Identifier: Apache-2.0
"""RCU with the other processors played by the interrupts that this one sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kaa.kernel import log  # noqa: F401  (the machine's modules load in this order)
from kaa.kernel.arch import machine
from kaa.kernel.locking import rcu, retiring
from kaa.kernel.process.task import WORK_RETIRED, Task
from kaa.kernel.sched import core, cpu
from kaa.lang import Atomic, RcuHead, u32
from kaa.lang.unsafe import address_of


class Thing(RcuHead):
    """Something that a field may have referred to."""


class World:
    """Four processors; `inside` says how often each is found in a reader's section before it leaves."""

    def __init__(self) -> None:
        self.inside = [0, 0, 0, 0]
        self.asked: list[int] = []
        self.sleeps = 0

    def call(self, mask: int, function: Callable[[int], None], argument: int) -> None:
        assert machine.irq.enabled() and not mask & 1 << machine.percpu.cpu_id()
        here, count = machine.percpu.simulated["number"], machine.percpu.simulated["count"]
        for number in range(4):
            if mask >> number & 1:
                self.asked.append(number)
                machine.percpu.simulated["number"] = number
                machine.percpu.simulated["count"] = 1 if self.inside[number] else 0
                function(argument)
                self.inside[number] = max(0, self.inside[number] - 1)
        machine.percpu.simulated["number"], machine.percpu.simulated["count"] = here, count

    def sleep(self, deadline: int) -> None:
        self.sleeps += 1


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    found = World()
    task: Any = object.__new__(Task)
    task.kernel_stack = 0
    task.state = Atomic(0)
    task.work = Atomic(0)
    machine.percpu.set_current(task)
    machine.percpu.simulated["count"] = 0
    monkeypatch.setattr(machine.smp, "online_mask", lambda: 15)
    monkeypatch.setattr(machine.smp, "call", found.call)
    monkeypatch.setattr(core, "schedule_until", found.sleep)
    monkeypatch.setattr(core, "set_state", lambda task, state: None)  # type: ignore[misc]
    yield found
    assert machine.percpu.preempt_count() == 0


def test_each_processor_is_asked_until_it_is_outside(world: World) -> None:
    world.inside = [0, 0, 2, 1]
    rcu.synchronize()
    assert world.asked == [1, 2, 3, 2, 3, 2]
    assert world.sleeps == 2


def test_a_section_keeps_preemption_off(world: World) -> None:
    with rcu.read():
        assert machine.percpu.preempt_count() == 1


def test_one_grace_period_serves_all_who_asked_before_it_began(world: World) -> None:
    """Who asks while one is under way needs the next; a second who asks then shares that."""
    begun = rcu.state.started.load()
    rcu.state.started.fetch_add(1)  # one is under way, and began too early for us
    rcu.state.turn.acquire()
    rcu.state.turn.release()
    rcu.state.finished.fetch_add(1)
    rcu.synchronize()
    assert rcu.state.started.load() == begun + 2


def test_what_is_retired_goes_after_a_grace_period_and_not_before(world: World) -> None:
    gone: list[str] = []
    thing, other = Thing(), Thing()
    retiring.call(thing, lambda head: gone.append("thing"))
    with pytest.raises(AssertionError, match="waits already"):
        retiring.call(thing, lambda head: None)
    retiring.call(other, lambda head: gone.append("other"))
    assert not gone
    world.inside[3] = 1
    assert rcu.give_up_retired(cpu.boot.retired)
    assert sorted(gone) == ["other", "thing"] and world.sleeps == 1
    assert not rcu.give_up_retired(cpu.boot.retired) and thing.rcu_retired.load() == 0
    assert len(world.asked) == 4  # nothing in the list: no grace period


def test_flush_empties_the_lists_of_all_processors(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of what is retired while it does."""
    second = cpu.Cpu(u32(1))
    monkeypatch.setattr(cpu, "every", lambda: iter((cpu.boot, second)))
    gone: list[str] = []
    retiring.call(Thing(), lambda head: gone.append("first"))
    monkeypatch.setattr(machine.percpu, "here", lambda: second)
    third = Thing()
    again = lambda: retiring.call(third, lambda head: gone.append("third"))  # noqa: E731
    retiring.call(Thing(), lambda head: (gone.append("second"), again())[0])
    rcu.flush()
    assert gone == ["first", "second", "third"]


def test_an_object_retired_twice_waits_for_the_later_grace_period(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is retired again while the first wait is under way: that reference is not due with the first."""
    thing = Thing()
    released: list[int] = []
    monkeypatch.setattr(retiring, "_give_up", lambda address, count: released.append(count))  # type: ignore[misc]
    retiring.retire(address_of(thing))
    retiring.retire(address_of(thing))
    plain = world.call

    def call(mask: int, function: Callable[[int], None], argument: int) -> None:
        plain(mask, function, argument)
        if not released and thing.rcu_retired.load() == 2:
            retiring.retire(address_of(thing))

    monkeypatch.setattr(machine.smp, "call", call)
    rcu.give_up_retired(cpu.boot.retired)
    assert released == [2]
    rcu.give_up_retired(cpu.boot.retired)
    assert released == [2, 1] and not rcu.give_up_retired(cpu.boot.retired)


def test_who_retires_the_first_object_starts_the_thread(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the way back to user mode; later ones wake it."""
    started: list[bytes] = []
    monkeypatch.setattr(core, "spawn_kernel_thread", lambda run, argument, name: started.append(name))  # type: ignore[misc]
    thing = Thing()
    cpu.boot.retired.has_thread.store(False)
    retiring.call(thing, lambda head: None)
    assert machine.percpu.current().work.load() & WORK_RETIRED and not started
    rcu.require_threads()
    rcu.require_threads()
    assert started == [b"rcu"]
    machine.percpu.current().work.store(0)
    rcu.give_up_retired(cpu.boot.retired)
    retiring.call(thing, lambda head: None)
    assert machine.percpu.current().work.load() == 0
    rcu.give_up_retired(cpu.boot.retired)
    cpu.boot.retired.has_thread.store(False)


def test_who_is_patient_asks_only_processors_that_did_not_switch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """All four processors are on; the second is busy with one task the first time."""
    processors = [cpu.boot, *(cpu.Cpu(u32(number)) for number in (1, 2, 3))]
    monkeypatch.setattr(cpu, "get", lambda number: processors[number] if number < 4 else None)
    busy = {1}

    def sleep(deadline: int) -> None:
        for number, processor in enumerate(processors):
            processor.run_queue.switches += number not in busy

    monkeypatch.setattr(core, "schedule_until", sleep)
    patience = rcu.Patience()
    gone: list[str] = []
    retiring.call(Thing(), lambda head: gone.append("first"))
    assert rcu.give_up_retired(cpu.boot.retired, patience)
    assert world.asked == [1, 2, 3] and gone == ["first"]
    busy.clear()
    retiring.call(Thing(), lambda head: gone.append("second"))
    assert rcu.give_up_retired(cpu.boot.retired, patience)
    assert world.asked == [1, 2, 3] and gone == ["first", "second"]
