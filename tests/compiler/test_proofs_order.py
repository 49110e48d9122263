# SPDX-License-Identifier: Apache-2.0
"""The order proof: circles of lock classes, and locks of one class inside each other."""

from __future__ import annotations

from pathlib import Path

from compiler.proofs_machine import MAIN, told


def test_one_order_is_accepted(tmp_path: Path) -> None:
    program = MAIN + "    with inode.lock:\n        with inode.guard:\n            inode.size = u64(1)\n"
    assert told(tmp_path, program, "order") == []


def test_both_orders_of_a_circle_are_told(tmp_path: Path) -> None:
    """mmap's lock and an inode's: one task writes a file from memory that is not there and faults under the inode's
    lock, another faults a page of the file in under the address space's. Linux has met this one many times."""
    program = (
        """
@noinline
def write_file() -> None:
    with inode.lock:
        copy_user(u64(1), u64(8))


@noinline
def read_page() -> None:
    with inode.lock:
        inode.size = u64(2)


@noinline
def map_file() -> None:
    with space.lock:
        read_page()

"""
        + MAIN
        + "    write_file()\n    map_file()\n"
    )
    found = told(tmp_path, program, "order")
    assert len(found) == 1
    lines = [line.rpartition(": ")[2] for line in found[0].split("\n")]
    assert lines[0] == "Inode.lock → Space.lock → Inode.lock"
    assert found[0].count("inside") == 2
    assert "write_file calls copy_user" in lines
    assert "copy_user calls page_fault" in lines
    assert "map_file calls read_page" in lines


def test_two_of_a_class_need_a_declared_order(tmp_path: Path) -> None:
    """Two run queues, two buckets, parent and child: which is first?"""
    plain = MAIN + "    with inode.guard:\n        with other.guard:\n            inode.size = u64(1)\n"
    found = told(tmp_path, plain, "order")
    assert len(found) == 1
    assert "Inode.guard is taken while another Inode.guard may be held" in found[0]
    (tmp_path / "nested").mkdir()
    nested = (
        MAIN
        + """    with inode.guard:
        other.guard.acquire_nested()
        other.size = u64(1)
        other.guard.release()
"""
    )
    assert told(tmp_path / "nested", nested, "order") == []


def test_a_lock_that_is_a_parameter_is_what_callers_pass(tmp_path: Path) -> None:
    program = (
        """
@noinline
def under(lock: SpinLock, size: u64) -> None:
    with lock:
        with outer.word:
            inode.size = size


class Outer:
    word: Final[SpinLock]

    def __init__(self) -> None:
        self.word = SpinLock()


outer = Outer()

"""
        + MAIN
        + "    under(inode.guard, u64(1))\n    with outer.word:\n        under(inode.guard, u64(2))\n"
    )
    found = told(tmp_path, program, "order")
    assert any("Inode.guard → Outer.word → Inode.guard" in f for f in found)


def test_a_try_waits_for_nobody(tmp_path: Path) -> None:
    program = (
        """
@noinline
def other_way() -> None:
    with inode.irq:
        if inode.guard.try_acquire():
            inode.guard.release()

"""
        + MAIN
        + "    with inode.guard:\n        with inode.irq:\n            inode.size = u64(1)\n    other_way()\n"
    )
    assert told(tmp_path, program, "order") == []


def test_a_class_of_locks_is_one_class_wherever_it_is(tmp_path: Path) -> None:
    program = (
        """
class Bucket(SpinLock):
    count: u64 = 0


first = Bucket()
second = Bucket()

"""
        + MAIN
        + "    with first:\n        with second:\n            first.count = u64(1)\n"
    )
    found = told(tmp_path, program, "order")
    assert len(found) == 1
    assert "Bucket is taken while another Bucket may be held" in found[0]
