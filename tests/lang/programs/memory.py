# SPDX-License-Identifier: Apache-2.0
"""MemoryError: caught, let out, and in the middle of things. The tests run each case with every allocation failing in
turn.
"""

from __future__ import annotations

from collections import deque

from kaa.lang import Array, Bytes, u8
from kaa.lang.testing import emit


class Item:
    value: int
    other: Item | None = None

    def __init__(self, value: int) -> None:
        self.value = value


class Pair:
    first: Item
    second: Item
    name: bytes

    def __init__(self, name: Bytes) -> None:
        self.first = Item(1)
        self.second = Item(2)
        self.name = bytes(name)


def case_constructor_that_allocates() -> None:
    pair = Pair(b"name")
    pair.second.other = Item(3)
    emit(pair.first.value + pair.second.value)


def case_containers() -> None:
    items: list[Item] = []
    for n in range(12):
        items.append(Item(n))
    table: dict[int, Item] = {}
    for item in items:
        table[item.value] = item
    names: dict[bytes, int] = {}
    buffer = Array[u8, 2]()
    for n in range(9):
        buffer[0] = u8(n)
        names[bytes(buffer[:])] = n
    queue: deque[Item] = deque()
    for item in items:
        queue.appendleft(item)
    emit(int(len(items) + len(table) + len(names) + len(queue)))


def case_display_and_comprehension() -> None:
    xs = [Item(n) for n in range(5)]
    ys = [Item(7), Item(8), xs[0]]
    ys.extend(xs)
    ys.insert(0, Item(9))
    emit(ys[0].value)


def attempt() -> int:
    try:
        pair = Pair(b"tried")
        return pair.second.value
    except MemoryError:
        return -12
    finally:
        kept.clear()


kept: list[int] = []


def case_caught() -> None:
    value = attempt()
    emit(0 if value == 2 or value == -12 else 1)


def both(a: Item, b: Item) -> int:
    return a.value + b.value


def case_arguments() -> None:
    emit(both(Item(1), Item(2)) + both(Item(3), Item(4)))


def case_replacing_a_field() -> None:
    item = Item(1)
    item.other = Item(2)
    try:
        item.other = Item(3)
    except MemoryError:
        pass
    emit(0 if item.other is not None else 1)
