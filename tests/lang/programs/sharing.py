# SPDX-License-Identifier: Apache-2.0
"""Final, Guarded, Owned, PerCpu are transparent; Atomic is a value with operations."""

from __future__ import annotations

from typing import Final

from kaa.lang import Atomic, Guarded, Owned, PerCpu, Rcu, acquire_fence, fence, i64, release_fence, u8, u32, u64
from kaa.lang.testing import emit


class Lock:
    depth: int = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *exc: object) -> None:
        self.depth -= 1


class Shared:
    lock: Final[Lock]
    count: Guarded[u32, "lock"]
    mine: Owned[int]
    here: PerCpu[u64]
    seen: Rcu[Lock | None]
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
