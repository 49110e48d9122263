# SPDX-License-Identifier: Apache-2.0
"""bytes, Bytes, Slice and Array: indexing, views, comparison, search, copies."""

from __future__ import annotations

from kaa.lang import Array, Bytes, Slice, i64, u8, u32, u64, usize
from kaa.lang.testing import emit, emit_bytes

NAME = b"hello world"


def case_bytes_literals() -> None:
    emit(int(len(NAME)))
    emit(NAME[4])
    emit(NAME[-1])
    emit_bytes(NAME[:5])
    emit_bytes(NAME[6:])
    emit_bytes(NAME[2:4])
    emit_bytes(b"")
    emit(int(NAME == b"hello world"))
    emit(int(NAME != b"hello worlD"))
    emit(int(NAME[:0] == b""))


def case_search() -> None:
    emit(NAME.find(0x6F))
    emit(NAME.rfind(0x6F))
    emit(NAME.find(b"wor"))
    emit(NAME.find(b"xyz"))
    emit(NAME.rfind(b"l"))
    emit(NAME.find(b""))
    emit(int(NAME.startswith(b"hell")))
    emit(int(NAME.endswith(b"world")))
    emit(int(NAME.endswith(b"hello world and more")))
    emit(int(0x20 in NAME))
    emit(int(0x21 in NAME))


def same(a: Bytes, b: Bytes) -> bool:
    return a == b


def case_equality_of_every_length() -> None:
    """Bytes of each length, and with each one changed: all word sizes that the comparison uses, at odd addresses."""
    a = Array[u8, 48]()
    b = Array[u8, 48]()
    for i in range(48):
        a[i] = u8(i * 7)
        b[i] = u8(i * 7)
    for length in range(41):
        emit(int(same(a[3 : 3 + length], b[3 : 3 + length])))
        found = 0
        for at in range(length):
            b[3 + at] = u8(255)
            found += int(same(a[3 : 3 + length], b[3 : 3 + length]))
            b[3 + at] = a[3 + at]
        emit(found)
    emit(int(same(a[0:7], b[0:8])))


def last_component(path: Bytes) -> Bytes:
    at = path.rfind(0x2F)
    return path[usize(at + 1) :] if at >= 0 else path


def case_views_are_returned() -> None:
    emit_bytes(last_component(b"/usr/bin/python3"))
    emit_bytes(last_component(b"name"))
    emit_bytes(last_component(NAME[:5]))


def total(data: Bytes) -> u64:
    sum: u64 = 0
    for byte in data:
        sum += byte
    return sum


def case_iteration() -> None:
    emit(i64(total(NAME)))
    emit(i64(total(NAME[3:3])))
    buffer = Array[u8, 4]()
    buffer[1] = 200
    emit(i64(total(buffer[:])))


def case_copies_of_views() -> None:
    kept = bytes(NAME[6:])
    emit_bytes(kept)
    emit(int(kept == b"world"))
    joined = Array[u8, 10]()
    NAME[:5].copy_to(joined[:])
    kept.copy_to(joined[5:])
    emit_bytes(joined[:])
    owned = bytes(joined[4:6])
    joined[4] = 0
    emit_bytes(owned)


def ends(data: Bytes, n: usize) -> None:
    emit_bytes(data[:n])
    emit_bytes(data[n:])
    emit_bytes(data[n:2])


def case_slices_of_bytes_end_where_the_bytes_do() -> None:
    for n in range(5):
        ends(b"abc", usize(n))
    ends(NAME[1:3], 7)


class Named:
    name: bytes

    def __init__(self, name: Bytes) -> None:
        self.name = bytes(name)


def case_bytes_in_fields() -> None:
    buffer = Array[u8, 3]()
    buffer[:].fill(0x61)
    named = Named(buffer[:2])
    buffer[0] = 0x62
    emit_bytes(named.name)
    emit(int(named.name == buffer[:2]))
    view = named.name[1:]
    named.name = b"zzz"
    emit_bytes(view)


def reverse(data: Slice[u32]) -> None:
    low: usize = 0
    high: usize = len(data)
    while low + 1 < high:
        high -= 1
        data[low], data[high] = data[high], data[low]
        low += 1


def case_slices_write_through() -> None:
    numbers = Array[u32, 5]()
    for n in range(5):
        numbers[n] = u32(n * n)
    reverse(numbers[:])
    for number in numbers:
        emit(number)
    part = numbers[1:4]
    part[0] = 77
    emit(numbers[1])
    emit(int(len(part)))
    inner = part[1:]
    inner.fill(5)
    emit(numbers[2])
    emit(numbers[3])
    emit(numbers[4])
    numbers[3:].copy_from(numbers[0:2])
    emit(numbers[4])


def case_arrays() -> None:
    grid = Array[Array[u8, 3], 2]()
    grid[1][2] = 9
    emit(grid[1][2])
    emit(int(len(grid)))
    emit(grid[0][0])
    row = grid[1]
    row[0] = 4
    emit(grid[1][0])
    flags = Array[bool, 4]()
    flags[2] = True
    emit(int(flags[2]))
    emit(int(flags[1]))
    grid[0] = row
    row[1] = 8
    emit(grid[0][0])
    emit(grid[0][1])


def case_overlapping_copy() -> None:
    data = Array[u8, 8]()
    for n in range(8):
        data[n] = u8(n)
    data[2:].copy_from(data[:6])
    emit_bytes(data[:])
    data[:6].copy_from(data[2:])
    emit_bytes(data[:])


class Item:
    value: int

    def __init__(self, value: int) -> None:
        self.value = value


class Slots:
    items: Array[Item | None, 4]

    def __init__(self) -> None:
        self.items = Array[Item | None, 4]()


def case_arrays_of_references() -> None:
    slots = Slots()
    emit(int(slots.items[2] is None))
    slots.items[2] = Item(5)
    found = slots.items[2]
    assert found is not None
    slots.items[2] = None
    emit(found.value)
    slots.items[0] = found
    count = 0
    for item in slots.items:
        if item is not None:
            count += item.value
    emit(count)


def case_equality_of_views() -> None:
    a = Array[u8, 3]()
    b = Array[u8, 3]()
    emit(int(a[:] == b[:]))
    b[2] = 1
    emit(int(a[:] == b[:]))
    emit(int(a[:2] == b[:2]))
    emit(int(a[:2] == b[:]))


def trap_bytes_index() -> None:
    """traps: index"""
    n: usize = len(NAME)
    emit(NAME[n])


def total_of(numbers: Slice[u32]) -> u32:
    sum: u32 = 0
    for number in numbers:
        sum += number
    return sum


def trap_slice_end() -> None:
    """traps: index"""
    numbers = Array[u32, 4]()
    n: usize = len(NAME)
    emit(total_of(numbers[2:n]))


def trap_slice_reversed() -> None:
    """traps: index"""
    numbers = Array[u32, 16]()
    n: usize = len(NAME)
    emit(total_of(numbers[n:4]))


def trap_negative_index() -> None:
    """traps: index|overflow"""
    n = i64(len(NAME)) - 12
    buffer = Array[u8, 16]()
    emit(buffer[n])


def trap_copy_too_long() -> None:
    """traps: index"""
    buffer = Array[u8, 4]()
    buffer[:].copy_from(NAME)
    emit(buffer[0])
