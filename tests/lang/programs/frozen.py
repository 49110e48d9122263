# SPDX-License-Identifier: Apache-2.0
"""What is built at import is data in the image: objects, containers, arrays, cycles, tables of functions; all of it
mutable.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from kaa.lang import Array, Atomic, struct, u8, u32, u64
from kaa.lang.testing import emit, emit_bytes

T = TypeVar("T")

handlers: list[Callable[[int], int]] = []
by_name: dict[bytes, Callable[[int], int]] = {}


def handler(name: bytes) -> Callable[[Callable[[int], int]], Callable[[int], int]]:
    """A decorator that fills tables at import."""

    def register(fn: Callable[[int], int]) -> Callable[[int], int]:
        handlers.append(fn)
        by_name[name] = fn
        return fn

    return register


@handler(b"double")
def double(n: int) -> int:
    return n * 2


@handler(b"square")
def square(n: int) -> int:
    return n * n


CRC = Array[u32, 256]()
for _n in range(256):
    _c = _n
    for _ in range(8):
        _c = (_c >> 1) ^ 0xEDB88320 if _c & 1 else _c >> 1
    CRC[_n] = _c


class Node:
    name: bytes
    children: dict[bytes, Node]
    parent: weakref.ref[Node] | None
    size: u64
    peer: Node | None = None

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.children = {}
        self.parent = None
        self.size = 0


root = Node(b"/")
for _name in (b"bin", b"dev", b"etc"):
    root.children[_name] = Node(_name)
    root.children[_name].parent = weakref.ref(root)
root.children[b"bin"].peer = root.children[b"dev"]
root.children[b"dev"].peer = root.children[b"bin"]


class Counters:
    calls: int = 0
    hits: Atomic[u32]
    recent: deque[int]
    numbers: list[int]
    table: Array[u8, 4]

    def __init__(self) -> None:
        self.hits = Atomic(0)
        self.recent = deque([1, 2, 3])
        self.numbers = [5, 6]
        self.table = Array[u8, 4]()
        self.table[1] = 9


counters = Counters()


@struct
class Entry:
    key: u32
    value: u64


TABLE = Array[Entry, 3]()
for _i in range(3):
    TABLE[_i] = Entry(_i + 1, _i * 100)


class Registry(Generic[T]):
    items: list[T]

    def __init__(self) -> None:
        self.items = []


registry: Registry[Node] = Registry()
registry.items.append(root)

PRIMES = [n for n in range(2, 30) if all(n % d for d in range(2, n))]
NAMES = (b"zero", b"one", b"two")
SIZES: dict[int, int] = {n: 1 << n for n in range(12)}


def crc32(data: bytes) -> u32:
    crc: u32 = 0xFFFF_FFFF
    for byte in data:
        crc = CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFF_FFFF


def case_tables() -> None:
    emit(crc32(b"123456789"))
    for fn in handlers:
        emit(fn(7))
    emit(by_name[b"square"](9))
    emit(TABLE[2].key)
    TABLE[2].key = 8
    emit(TABLE[2].key)
    for prime in PRIMES:
        emit(prime)
    emit(SIZES[11])
    emit_bytes(NAMES[1])


def case_object_graph() -> None:
    for name, child in root.children.items():
        emit_bytes(name)
        parent = child.parent
        if parent is not None:
            up = parent()
            if up is not None:
                emit_bytes(up.name)
    peer = root.children[b"bin"].peer
    if peer is not None and peer.peer is not None:
        emit_bytes(peer.peer.name)
    emit(int(registry.items[0] is root))


def case_frozen_dict_grows() -> None:
    """keeps what it allocated"""
    for n in range(20):
        name = b"abcdefghijklmnopqrstuvwxyz"[n : n + 2]
        root.children[bytes(name)] = Node(bytes(name))
    emit(int(len(root.children)))
    emit(int(b"dev" in root.children))
    emit(int(b"cd" in root.children))
    del root.children[b"etc"]
    for n in range(20):
        del root.children[b"abcdefghijklmnopqrstuvwxyz"[n : n + 2]]
    for name in root.children:
        emit_bytes(name)


def case_mutable_state() -> None:
    """keeps what it allocated"""
    counters.calls += 1
    counters.calls += 1
    emit(counters.calls)
    emit(counters.hits.fetch_add(2))
    emit(counters.hits.load())
    counters.recent.append(4)
    emit(counters.recent.popleft())
    for n in counters.recent:
        emit(n)
    for n in range(10):
        counters.numbers.append(n)
    emit(counters.numbers[0] + counters.numbers[11])
    counters.table[0] = counters.table[1]
    emit(counters.table[0])
    counters.numbers.clear()
    counters.recent.clear()


def case_replace_frozen_references() -> None:
    bin = root.children[b"bin"]
    bin.peer = Node(b"new")
    peer = bin.peer
    emit_bytes(peer.name)
    bin.peer = None
    emit_bytes(peer.name)


class Shape:
    """A base class; the list below holds derived objects only."""

    def sides(self) -> int:
        return 0


class Square(Shape):
    """Derived."""

    def sides(self) -> int:
        return 4


shapes: list[Shape] = []
shapes.append(Square())


def case_a_row_of_derived_objects() -> None:
    for shape in shapes:
        emit(shape.sides())
