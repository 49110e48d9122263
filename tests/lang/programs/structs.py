# SPDX-License-Identifier: Apache-2.0
"""Structs: places, nesting, arrays, bit fields, packing, copies."""

from __future__ import annotations

from enum import IntEnum

from kaa.lang import Array, Bits, as_bytes, copy, i64, offset_of, sizeof, struct, u8, u16, u32, u64, usize, width
from kaa.lang.testing import emit, emit_bytes


@width(u16)
class Color(IntEnum):
    RED = 1
    BLUE = 0x102


@struct
class Time:
    sec: i64 = 0
    nsec: i64 = 0

    def total(self) -> i64:
        return self.sec * 1000 + self.nsec

    def bump(self, by: i64) -> None:
        self.nsec += by


@struct
class Mixed:
    a: u8
    b: u32 = 5
    c: u16
    d: u64
    e: Array[u8, 3]
    color: Color


@struct(packed=True)
class Packed:
    a: u8
    b: u32
    c: u16


@struct
class Flags:
    low: Bits[u8, 4]
    high: Bits[u8, 4]
    next: u8
    wide: Bits[u32, 20]
    rest: Bits[u32, 12]


@struct
class Table:
    count: u32
    entries: Array[Time, 4]


class Owner:
    time: Time
    table: Table
    bytes: Array[u8, 8]

    def __init__(self) -> None:
        self.time = Time(1, 2)
        self.table = Table()
        self.bytes = Array[u8, 8]()


def case_layout() -> None:
    emit(i64(sizeof(Time)))
    emit(i64(sizeof(Mixed)))
    emit(i64(sizeof(Packed)))
    emit(i64(sizeof(Flags)))
    emit(i64(sizeof(Table)))
    emit(i64(offset_of(Mixed, "e")))
    emit(i64(offset_of(Packed, "b")))
    emit(i64(offset_of(Flags, "rest")))
    emit(i64(offset_of(Table, "entries")))
    m = Mixed(1, 0x01020304, 0x0506, 0x0708, color=Color.BLUE)
    m.e[2] = 0xEE
    view = as_bytes(m)
    emit(view[0])
    emit_bytes(view[4:8])
    emit_bytes(view[8:10])
    emit_bytes(view[16:30])
    emit_bytes(as_bytes(Packed(1, 2, 3)))


def case_defaults_and_keywords() -> None:
    m = Mixed(c=3)
    emit(m.a)
    emit(m.b)
    emit(m.c)
    emit(Time(nsec=4).total())
    emit(Time().sec)


def case_places_name_elements() -> None:
    t = Table()
    entry = t.entries[2]
    entry.sec = 5
    emit(t.entries[2].sec)
    t.entries[2].bump(7)
    emit(entry.total())
    t.entries[3] = entry
    entry.sec = 6
    emit(t.entries[3].sec)
    for each in t.entries:
        each.nsec += 1
    emit(t.entries[0].nsec)
    emit(t.entries[2].nsec)


def case_copies() -> None:
    a = Time(1, 2)
    b = copy(a)
    b.sec = 9
    emit(a.sec)
    same = a
    same.sec = 4
    emit(a.sec)


def fill(time: Time, sec: i64) -> None:
    time.sec = sec


def made(sec: i64) -> Time:
    time = Time(sec, 1)
    time.nsec = 8
    return time


def case_passing_and_returning() -> None:
    t = Time()
    fill(t, 12)
    emit(t.sec)
    emit(made(3).total())
    u = made(4)
    u.bump(1)
    emit(u.total())


def case_struct_fields_of_classes() -> None:
    o = Owner()
    emit(o.time.total())
    o.time.bump(3)
    emit(o.time.nsec)
    o.time = Time(8, 9)
    emit(o.time.total())
    o.table.entries[1].sec = 3
    entry = o.table.entries[1]
    emit(entry.sec)
    o.bytes[3] = 7
    emit(o.bytes[3])
    emit(i64(usize(len(o.bytes))))


def case_bit_fields() -> None:
    f = Flags()
    f.low = 3
    f.high = 0xA
    f.wide = 0xFFFFF
    f.rest = 0x123
    f.low += 1
    emit(f.low)
    emit(f.high)
    emit(f.wide)
    emit(f.rest)
    emit(as_bytes(f)[0])


def case_bytes_of_a_struct() -> None:
    t = Time()
    view = as_bytes(t)
    view[0] = 1
    view[1] = 1
    emit(t.sec)
    view.fill(0xFF)
    emit(t.nsec)


def case_enum_fields() -> None:
    m = Mixed()
    m.color = Color.RED
    emit(int(m.color == Color.RED))
    emit(int(m.color))


@struct
class Pair:
    left: Time
    right: Time


def case_nested_structs() -> None:
    p = Pair(Time(1), Time(2))
    p.left = p.right
    p.right.sec = 5
    emit(p.left.sec)
    left = p.left
    left.nsec = 3
    emit(p.left.nsec)


def trap_value_does_not_fit() -> None:
    """traps: narrow"""
    wide: u32 = u32(made(300).sec)
    m = Mixed()
    m.a = wide
    emit(m.a)


def trap_bits_do_not_fit() -> None:
    """traps: narrow"""
    f = Flags()
    f.low = u8(made(16).sec)
    emit(f.low)


def trap_index_beyond_array() -> None:
    """traps: index"""
    t = Table()
    n: usize = usize(made(4).sec)
    t.entries[n].sec = 1
    emit(t.entries[0].sec)
