# SPDX-License-Identifier: Apache-2.0
"""Structs, arrays, views and the simulated memory under CPython."""

from __future__ import annotations

from enum import IntEnum
from typing import Generic, TypeVar

import pytest

from kaa.lang import (
    Array,
    Atomic,
    Bits,
    Bytes,
    Guarded,
    Slice,
    Trampoline,
    as_bytes,
    copy,
    i32,
    i64,
    sizeof,
    struct,
    u8,
    u16,
    u32,
    u64,
    width,
)
from kaa.lang.unsafe import Ptr, Unowned, address_of, allocate, class_at, memory, move, release, zero

T = TypeVar("T")


@width(u16)
class Color(IntEnum):
    RED = 1
    BLUE = 2


@struct
class Inner:
    a: u8
    b: u32 = 7


@struct
class Outer:
    first: u8
    inner: Inner
    table: Array[Inner, 3]
    color: Color
    link: Ptr[Outer]
    low: Bits[u8, 4]
    high: Bits[u8, 4]
    count: Atomic[u32]


@struct(packed=True)
class Packed:
    a: u8
    b: u32
    c: u64


@struct
class Pointer(Generic[T]):
    address: u64

    def is_null(self) -> bool:
        return self.address == 0


def test_layout_is_c_s() -> None:
    assert (sizeof(Inner), sizeof(Outer), sizeof(Packed)) == (8, 56, 13)
    fields = Outer.__kaa_layout__().fields
    names = ("inner", "table", "color", "link", "low", "high", "count")
    assert [fields[n].offset for n in names] == [4, 12, 36, 40, 48, 48, 52]


def test_places_write_through() -> None:
    o = Outer()
    assert o.inner.b == 0 and Inner().b == 7
    place = o.table[1]
    place.b = 5
    assert o.table[1].b == 5
    o.inner = Inner(1, 2)
    fresh = copy(o.inner)
    o.inner.a = 9
    assert (fresh.a, o.inner.a) == (1, 9)
    o.low, o.high = 3, 10
    assert bytes(as_bytes(o))[48] == 0xA3
    o.color = Color.BLUE
    assert o.color is Color.BLUE
    o.count.fetch_sub(1)
    assert o.count.load() == 2**32 - 1


def test_values_are_checked() -> None:
    with pytest.raises(OverflowError):
        Inner(256)
    with pytest.raises(OverflowError):
        Outer().low = 16
    with pytest.raises(IndexError):
        Array[u8, 3]()[3]


def test_pointers_reach_structs() -> None:
    o = Outer(first=3)
    p = Ptr[Outer](address_of(o))
    p[0].inner.a = 4
    assert (p.place().first, o.inner.a) == (3, 4)
    o.link = p
    assert o.link.place().link == p
    raw = p.cast(u8)
    assert raw[4] == 4


def test_generic_struct_and_trampoline() -> None:
    def call(p: Pointer[Inner], n: i32, flag: bool) -> i64:
        if p.is_null():
            raise FileNotFoundError
        return p.address + n

    t = Trampoline(call)
    t.fn.__globals__.setdefault("Pointer", Pointer)
    assert (t(100, 0xFFFF_FFFF, 0), t(0, 0, 0)) == (99, -2)


class Node:
    lock: Guarded[u32, "lock"]
    next: Unowned[Node | None]


def test_references_in_raw_memory() -> None:
    address = allocate(32)
    p = Ptr[Node](address)
    node = Node()
    assert p[0] is None
    p[1] = node
    move(address + 16, address + 8, 8)
    zero(address + 8, 8)
    assert p[1] is None and p.take(2) is node and p[2] is None
    assert class_at(Node, address_of(node)) is node
    release(address, 32)
    with pytest.raises(AssertionError):
        release(address, 32)


def test_views() -> None:
    data = bytearray(b"hello world")
    s = Slice.of(data)
    s[0] = 72
    s[6:11].copy_from(b"WORLD")
    assert data == b"Hello WORLD" and s[0:5] == b"Hello" and b"Hello" == s[0:5]
    assert s.find(0x6F) == 4 and s.startswith(b"Hel") and {b"Hello": 1}[s[0:5]] == 1
    assert isinstance(s, Bytes) and isinstance(b"", Bytes)
    b"abc".copy_to(s)
    assert bytes(s[:3]) == b"abc"
    s[2:4].fill(0)
    assert data[:5] == b"ab\0\0o"
    assert len(s[3:12]) == 8
    with pytest.raises(IndexError):
        Array[u32, 4]()[3:5]


def test_page_zero_is_not_there() -> None:
    with pytest.raises(AssertionError):
        Ptr[u64](8)[0]
    memory.write(0x1FFE, b"1234")
    assert Ptr[u32](0x1FFE)[0] == int.from_bytes(b"1234", "little")
