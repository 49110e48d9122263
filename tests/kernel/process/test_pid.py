# SPDX-License-Identifier: Apache-2.0
"""Numbers of processes."""

from __future__ import annotations

import pytest

from kaa.kernel.process.pid import PID_MAX, RESERVED, PidTable


def test_numbers_start_at_one_and_go_up() -> None:
    table = PidTable()
    assert [table.allocate().number for _ in range(3)] == [1, 2, 3]


def test_a_freed_number_is_not_given_again_at_once() -> None:
    table = PidTable()
    first = table.allocate()
    table.free_if_unused(first)
    assert table.find(1) is None
    assert table.allocate().number == 2


def test_after_the_last_number_the_search_begins_above_the_reserved_ones() -> None:
    table = PidTable()
    table.last = PID_MAX - 1
    assert table.allocate().number == RESERVED


def test_a_number_in_use_is_skipped() -> None:
    table = PidTable()
    table.last = PID_MAX - 2
    table.allocate()
    table.allocate()
    table.last = PID_MAX - 1
    assert table.allocate().number == RESERVED + 1


def test_no_number_left_is_eagain() -> None:
    table = PidTable()
    for _ in range(PID_MAX - 1):
        table.allocate()
    with pytest.raises(BlockingIOError):
        table.allocate()


def test_a_walk_finds_what_is_in_use() -> None:
    table = PidTable()
    table.allocate()
    table.last = 1000
    gone = table.allocate()
    table.allocate()
    assert [table.next_in_use(number) for number in (1, 2, 300, 1002, 1003)] == [1, 1001, 1001, 1002, PID_MAX]
    table.free_if_unused(gone)
    assert table.next_in_use(2) == 1002 and table.count.load() == 2
