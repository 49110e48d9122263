# SPDX-License-Identifier: Apache-2.0
"""list, dict and deque, of numbers, of bytes and of references."""

from __future__ import annotations

from collections import deque

from kaa.lang import Array, Bytes, u8, u32, u64, usize
from kaa.lang.testing import emit, emit_bytes


class Item:
    value: int

    def __init__(self, value: int) -> None:
        self.value = value

    def __del__(self) -> None:
        emit(-self.value)


def case_list_of_numbers() -> None:
    xs: list[u32] = []
    for n in range(10):
        xs.append(u32(n * n))
    emit(int(len(xs)))
    emit(xs[9])
    emit(xs[-1])
    xs.insert(0, 7)
    xs.insert(11, 8)
    emit(xs.pop())
    emit(xs.pop(0))
    emit(xs.pop(3))
    xs.remove(16)
    emit(int(25 in xs))
    emit(int(16 in xs))
    emit(int(xs.index(36)))
    for x in xs:
        emit(x)
    xs.clear()
    emit(int(len(xs)))
    if not xs:
        emit(1)


def case_list_displays_and_extend() -> None:
    xs = [3, 1, 2]
    ys: list[int] = [4]
    ys.extend(xs)
    ys.extend(ys)
    for y in ys:
        emit(y)
    for y in reversed(xs):
        emit(y)
    xs[1] += 10
    emit(xs[1])
    del xs[0]
    emit(xs[0])


def case_list_of_objects() -> None:
    items: list[Item] = []
    for n in range(1, 6):
        items.append(Item(n))
    first = items[0]
    emit(items.pop(2).value)
    items[0] = Item(9)
    emit(first.value)
    items.append(first)
    items.pop()
    emit(100)
    emit(first.value)
    del first
    emit(101)
    items.clear()
    emit(102)


def case_dict_of_numbers() -> None:
    d: dict[u64, u32] = {}
    for n in range(100):
        d[u64(n * 7919)] = u32(n)
    emit(int(len(d)))
    emit(d[7919 * 50])
    emit(d.get(1, 5))
    emit(int(7919 in d))
    emit(int(7918 in d))
    for n in range(100):
        if n % 3 != 0:
            del d[u64(n * 7919)]
    emit(int(len(d)))
    for key in d:
        emit(int(key))
    for value in d.values():
        emit(value)
    d[3] = 1
    emit(d.pop(3))
    emit(d.pop(3, 77))
    emit(d.setdefault(8, 9))
    emit(d.setdefault(8, 10))


def case_dict_keeps_order() -> None:
    d: dict[int, int] = {5: 1, 3: 2, 9: 3}
    del d[3]
    d[3] = 4
    d[5] = 6
    for key, value in d.items():
        emit(key * 100 + value)
    for key in d.keys():
        emit(key)


def case_dict_of_bytes() -> None:
    d: dict[bytes, int] = {b"one": 1, b"two": 2}
    path = b"/one/two/three"
    emit(d[path[1:4]])
    emit(d.get(path[5:8], -1))
    emit(d.get(path[9:], -1))
    d[bytes(path[9:])] = 3
    emit(d[b"three"])
    for key in d:
        emit_bytes(key)
    buffer = Array[u8, 3]()
    buffer[:].copy_from(b"two")
    emit(int(buffer[:] in d))


def lookup(d: dict[bytes, Item], name: Bytes) -> int:
    item = d.get(name)
    return item.value if item is not None else -1


def case_dict_of_objects() -> None:
    d: dict[bytes, Item] = {}
    d[b"a"] = Item(1)
    d[b"b"] = Item(2)
    emit(lookup(d, b"a"))
    emit(lookup(d, b"c"))
    d[b"a"] = Item(3)
    emit(100)
    kept = d.pop(b"b")
    emit(101)
    d.clear()
    emit(102)
    emit(kept.value)


def case_missing_key_is_an_exception() -> None:
    d: dict[int, int] = {1: 2}
    try:
        emit(d[5])
    except KeyError:
        emit(-5)
    try:
        del d[6]
    except KeyError:
        emit(-6)
    xs: list[int] = [1]
    try:
        xs.remove(3)
    except ValueError:
        emit(-7)


def case_deque() -> None:
    q: deque[int] = deque()
    for n in range(20):
        q.append(n)
        if n % 3 == 0:
            emit(q.popleft())
        if n % 5 == 0:
            q.appendleft(-n)
    emit(q.pop())
    emit(int(len(q)))
    for n in q:
        emit(n)
    emit(q[0])
    q.clear()
    emit(int(len(q)))


def case_deque_of_objects() -> None:
    q: deque[Item] = deque()
    for n in range(1, 8):
        q.append(Item(n))
    emit(q.popleft().value)
    emit(100)
    while q:
        emit(q.pop().value)


def case_lists_in_lists() -> None:
    rows: list[list[int]] = []
    for n in range(3):
        rows.append([n, n + 1])
    rows[1].append(9)
    total = 0
    for row in rows:
        for cell in row:
            total += cell
    emit(total)
    table: dict[int, list[int]] = {}
    table[1] = rows[1]
    table[1][0] = 50
    emit(rows[1][0])


def case_optional_elements() -> None:
    slots: list[Item | None] = [None, None]
    slots[1] = Item(4)
    emit(int(slots[0] is None))
    found = slots[1]
    if found is not None:
        emit(found.value)
    del found
    slots[1] = None
    emit(100)


def trap_list_index() -> None:
    """traps: index"""
    xs = [1, 2, 3]
    n: usize = len(xs)
    emit(xs[n])


def trap_pop_of_an_empty_list() -> None:
    """traps: index|assert"""
    xs: list[int] = []
    emit(xs.pop())


def trap_list_assignment() -> None:
    """traps: index"""
    xs = [1]
    n: usize = len(xs)
    xs[n] = 4
