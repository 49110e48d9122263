# SPDX-License-Identifier: Apache-2.0
"""Final, Guarded, Owned, PerCpu are transparent; Atomic is a value with operations."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from kaa.lang import (
    Array,
    Atomic,
    Guarded,
    Owned,
    PerCpu,
    Rcu,
    RcuHead,
    acquire_fence,
    fence,
    i64,
    release_fence,
    u8,
    u32,
    u64,
)
from kaa.lang.testing import emit


class Lock:
    depth: int = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *exc: object) -> None:
        self.depth -= 1


class Table(RcuHead):
    size: int = 0

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


class Shared:
    lock: Final[Lock]
    count: Guarded[u32, "lock"]
    mine: Owned[int]
    here: PerCpu[u64]
    seen: Rcu[Table | None]
    flags: Atomic[u8]
    total: Atomic[i64]

    def __init__(self) -> None:
        self.lock = Lock()
        self.count = 0
        self.mine = 1
        self.here = 2
        self.seen = None
        self.flags = Atomic(0)
        self.total = Atomic(-5)

    def add(self) -> u32:
        with self.lock:
            self.count += 1
            return self.count


def case_qualified_fields() -> None:
    s = Shared()
    emit(s.add())
    emit(s.add())
    emit(s.lock.depth)
    s.mine += 3
    emit(s.mine)
    emit(i64(s.here))
    emit(int(s.seen is None))


def case_atomics() -> None:
    s = Shared()
    emit(s.total.fetch_add(7))
    emit(s.total.fetch_sub(1))
    emit(s.total.load())
    s.total.store(40)
    emit(s.total.exchange(41))
    emit(int(s.total.compare_exchange(41, 42)))
    emit(int(s.total.compare_exchange(41, 43)))
    emit(s.total.load_relaxed())
    emit(s.flags.fetch_or(6))
    emit(s.flags.fetch_and(2))
    s.flags.store_relaxed(9)
    emit(s.flags.load())


def case_orders_of_atomics() -> None:
    """What an operation's order says cannot be seen by one thread: the values can."""
    s = Shared()
    s.total.store_release(7)
    fence()
    release_fence()
    acquire_fence()
    emit(s.total.load_acquire())
    s.total.store_release_low(9)
    emit(s.total.load_acquire())
    s.total.store_release(-2)
    s.total.store_release_low(1)
    emit(s.total.load())
    s.flags.store_release(200)
    s.flags.store_release_low(3)
    emit(s.flags.load_acquire())


class Registry:
    """A table that is replaced whole while others read it."""

    table: Rcu[Table | None]
    also: Rcu[Table | None] = None
    reading: int = 0

    def __init__(self) -> None:
        self.table = Table(1)

    @contextmanager
    def read(self) -> Generator[None, None, None]:
        self.reading += 1
        try:
            yield
        finally:
            self.reading -= 1

    def size(self) -> int:
        with self.read():
            table = self.table
            return -1 if table is None else table.size

    def replace(self, size: int) -> None:
        self.table = Table(size)

    def kept(self) -> Table | None:
        with self.read():
            return self.table


class Row:
    """Places that are filled and emptied one by one."""

    tables: Rcu[Array[Table | None, 4]]

    def __init__(self) -> None:
        self.tables = Array[Table | None, 4]()

    def size(self, index: int) -> int:
        table = self.tables[index]
        return -1 if table is None else table.size

    def taken(self, index: int) -> Table | None:
        return self.tables[index]


def case_rcu_arrays_are_read_and_replaced_by_elements() -> None:
    row = Row()
    for index in range(4):
        emit(row.size(index))
        row.tables[index] = Table(index)
    kept = row.taken(2)
    for index in range(3):
        row.tables[index] = Table(10 + index) if index != 1 else None
    for table in row.tables:
        emit(-1 if table is None else table.size)
    if kept is not None:
        emit(kept.size)


def case_rcu_fields_are_read_and_replaced() -> None:
    registry = Registry()
    emit(registry.size())
    registry.replace(2)
    registry.replace(3)
    emit(registry.size())
    registry.table = None
    emit(registry.size())


def case_a_reader_goes_on_with_what_it_found() -> None:
    registry = Registry()
    with registry.read():
        found = registry.table
        assert found is not None
        registry.replace(5)
        emit(found.size)
        emit(registry.size())
    kept = registry.kept()
    registry.replace(6)
    registry.replace(7)
    if kept is not None:
        emit(kept.size)
    emit(registry.reading)


def case_one_object_in_several_rcu_fields() -> None:
    registry = Registry()
    for n in range(3):
        registry.table = registry.also = Table(n)
        registry.table = None
        registry.also = None
    same = Table(9)
    registry.table = same
    registry.table = same
    emit(registry.size())
