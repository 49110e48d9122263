# SPDX-License-Identifier: Apache-2.0
"""Machine integers and the width of a helper's operand under CPython."""

from __future__ import annotations

import pytest

from kaa.lang import (
    Array,
    byteswap,
    i8,
    i64,
    leading_zeros,
    popcount,
    rotate_left,
    trailing_zeros,
    u8,
    u16,
    u32,
    u64,
    wrapping_add,
    wrapping_mul,
    wrapping_sub,
)  # fmt: skip


def test_conversion_truncates() -> None:
    assert (u8(256), u8(-1), i8(128), i8(-129), u64(-1), i64(2**63)) == (0, 255, -128, 127, 2**64 - 1, -(2**63))


def test_width_comes_from_the_value() -> None:
    assert wrapping_add(u8(255), 1) == 0
    assert rotate_left(u8(0x81), 1) == 3
    assert (leading_zeros(u16(1)), trailing_zeros(u32(0)), byteswap(u32(0x01020304))) == (15, 32, 0x04030201)


class Counter:
    value: u16

    def bump(self) -> int:
        return wrapping_add(self.value, 1)


def from_parameter(x: u32) -> int:
    return wrapping_mul(x, x)


def from_local(x: u64) -> int:
    state = u32(x)
    for _ in range(2):
        state = wrapping_mul(state ^ 5, 16777619)
    return state


def from_annotated(x: int) -> int:
    y: u8 = 0
    y = x & 0xFF
    return wrapping_sub(y, 250)


def from_element(a: Array[u8, 4]) -> int:
    return wrapping_add(a[0], 200)


def test_width_comes_from_the_caller_s_source() -> None:
    assert from_parameter(0x10000) == 0
    assert from_local(2**40 + 1) == u32(u32(4 * 16777619 ^ 5) * 16777619)
    assert from_annotated(1) == 7
    counter = Counter()
    counter.value = 65535
    assert counter.bump() == 0
    array = Array[u8, 4]()
    array[0] = 100
    assert from_element(array) == 44


def test_popcount() -> None:
    assert popcount(u8(0xF1)) == 5


def test_unknown_width_is_refused() -> None:
    x = eval("3")
    with pytest.raises(TypeError, match="width"):
        wrapping_add(x, 1)
