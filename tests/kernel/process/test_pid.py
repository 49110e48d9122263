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


def test_empty_blocks_are_skipped_in_walks() -> None:
    table = PidTable()
    table.allocate()
    table.last = 1000
    table.allocate()
    assert table.skip_empty_blocks(1) == 1
    assert table.skip_empty_blocks(300) == 768
    assert table.skip_empty_blocks(1024) == PID_MAX
