# SPDX-License-Identifier: Apache-2.0
"""Sequence locks, completions and per-processor counters, the other processor played by the spinning of this one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.kernel import log  # noqa: F401  (the machine's modules load in this order)
from kaa.kernel.arch import machine
from kaa.kernel.lib.per_cpu_counter import BATCH, PerCpuCounter
from kaa.kernel.locking.completion import Completion
from kaa.kernel.locking.seqlock import SeqCount, SeqLock


def test_a_reader_sees_that_a_writer_came_between() -> None:
    lock = SeqLock("x")
    start = lock.begin()
    assert not lock.changed(start)
    with lock.write():
        assert not machine.irq.enabled()
    assert machine.irq.enabled()
    assert lock.changed(start) and not lock.changed(lock.begin())


def test_a_reader_that_began_before_the_write_ended_looks_again() -> None:
    count = SeqCount()
    start = count.begin()
    count.begin_write()
    assert count.changed(start)
    count.end_write()
    assert count.changed(start)


def test_a_reader_waits_while_somebody_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    count = SeqCount()
    count.begin_write()
    monkeypatch.setattr(machine.irq, "relax", count.end_write)
    assert count.begin() == 2


def test_the_count_of_writes_may_wrap() -> None:
    count = SeqCount()
    count.sequence.store(0xFFFF_FFFE)
    start = count.begin()
    count.begin_write()
    count.end_write()
    assert count.begin() == 0 and count.changed(start)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-200, 200)), max_size=60))
def test_a_counter_is_the_sum_of_what_was_added_anywhere(changes: list[tuple[int, int]]) -> None:
    counter = PerCpuCounter()
    for cpu, amount in changes:
        machine.percpu.simulated["number"] = cpu
        counter.add(amount)
        assert abs(counter.parts[cpu].load()) < BATCH
    machine.percpu.simulated["number"] = 0
    assert counter.sum() == sum(amount for _, amount in changes)
    assert abs(counter.sum() - counter.estimate()) < 4 * BATCH


def test_what_is_done_is_not_waited_for() -> None:
    done = Completion("x")
    assert not done.is_done()
    done.complete()
    assert done.is_done()
    done.wait()
