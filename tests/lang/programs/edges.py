# SPDX-License-Identifier: Apache-2.0
"""The ends of integer ranges, where a step or a difference could leave the type."""

from __future__ import annotations

from kaa.lang import i8, i32, i64, u8, u64
from kaa.lang.testing import emit


def case_signed_ranges_wider_than_half_the_type() -> None:
    for i in range(-9223372036854775807, 9223372036854775806, 4611686018427387904):
        emit(i)
    low: i32 = -2147483648
    high: i32 = 2147483647
    for j in range(low, high, 1073741824):
        emit(j)
    for j in range(high, low, -1500000000):
        emit(j)


def case_small_unsigned_ranges_end_at_their_type() -> None:
    top: u8 = 250
    highest: u8 = 255
    for k in range(top, highest, 2):
        emit(k)
    zero: u8 = 0
    for k in range(top, zero, -100):
        emit(k)
    for k in range(zero, highest, 255):
        emit(k)


def case_shifts_and_division_at_the_ends() -> None:
    x: u8 = 200
    emit(x >> 7)
    y: i8 = -128
    emit(y >> 7)
    emit(y // 3)
    emit(y % 3)
    z: u64 = 1
    emit(int(z << 63 == 9223372036854775808))
    w: i64 = -9223372036854775808
    emit(w >> 63)
    emit(w % -1)


def trap_lowest_divided_by_minus_one() -> None:
    """traps: overflow"""
    w: i64 = -9223372036854775808
    emit(w // -1)


def case_comparison_of_mixed_widths() -> None:
    a: u8 = 255
    b: i64 = -1
    c: u64 = 18446744073709551615
    emit(int(a > b))
    emit(int(c > a))
    d: i8 = -1
    e: i32 = -1
    emit(int(d == e))
    emit(i64(min(a, c)))
    emit(max(d, b))


def case_chained_comparison() -> None:
    a = 1
    emit(int(0 < a < 2 < 3))
    emit(int(0 < a > 2 < 3))
    emit(int(1 == a == 1))


def case_operands_keep_their_value() -> None:
    x = 1
    emit(x + (x := 5) + x)
    items = [1, 2]
    emit(items[0] + (items := [7, 8])[0])


class Counter:
    n: int

    def __init__(self) -> None:
        self.n = 1

    def bump(self) -> int:
        self.n += 5
        return self.n


def case_augmented_assignment_reads_first() -> None:
    c = Counter()
    c.n += c.bump()
    emit(c.n)


def leave(n: int) -> int:
    x = n
    for i in range(3):
        try:
            if i == n:
                return x
            x += 10
            continue
        finally:
            x += 1
            emit(x)
    return x


def case_result_is_taken_before_finally() -> None:
    emit(leave(1))
    emit(leave(2))
