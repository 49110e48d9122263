# SPDX-License-Identifier: Apache-2.0
"""Machine integers: conversions, checked arithmetic, floor division, shifts, bit helpers."""

from __future__ import annotations

from kaa.lang import (
    byteswap,
    i8,
    i16,
    i32,
    i64,
    isize,
    leading_zeros,
    popcount,
    rotate_left,
    trailing_zeros,
    u8,
    u16,
    u32,
    u64,
    usize,
    wrapping_add,
    wrapping_mul,
    wrapping_sub,
)
from kaa.lang.testing import emit

BIG = 0xFFFF_FFFF_FFFF_FFFF
PAGE = 1 << 12


def identity(x: i64) -> i64:
    return x


def small(x: u8) -> u8:
    return x


def case_conversions_truncate() -> None:
    n = identity(-1)
    emit(u8(n))
    emit(u16(n))
    emit(u32(n))
    emit(i64(u64(n)))
    emit(i8(identity(200)))
    emit(i16(identity(40000)))
    emit(i32(identity(1 << 31)))
    emit(i64(isize(identity(-7))))
    emit(int(identity(3) > 2))


def case_wider_operand_wins() -> None:
    a: u8 = 200
    b: u32 = 100
    c: u16 = 65535
    emit(a + b)
    emit(b + c)
    d: i64 = 1000
    emit(b - d)
    emit(d * a)
    e: i8 = -100
    f: i32 = 1000
    emit(e * f)


def case_floor_division_and_remainder() -> None:
    for a in range(-7, 8):
        for b in range(-3, 4):
            if b != 0:
                x: i32 = i32(a)
                y: i32 = i32(b)
                emit(x // y)
                emit(x % y)
    p: u64 = u64(identity(17))
    emit(i64(p // 5))
    emit(i64(p % 5))


def case_shifts() -> None:
    n: u64 = u64(identity(1))
    emit(i64(n << 40))
    emit(identity(-17) >> 2)
    emit(identity(-1) >> 63)
    m: u32 = u32(identity(0x8000_0000))
    emit(m >> 31)
    emit(m >> 4)
    s: i8 = i8(identity(-128))
    emit(s >> 3)


def case_bit_operators() -> None:
    a: u32 = u32(identity(0xF0F0_1234))
    b: u32 = u32(identity(0x0FF0_4321))
    emit(a & b)
    emit(a | b)
    emit(a ^ b)
    emit(u32(~a))
    n = identity(5)
    emit(~n)
    emit(-n)
    flags = 0
    flags |= 1 << 4
    flags &= ~(1 << 2)
    emit(flags)


def case_wrapping_helpers() -> None:
    a: u8 = u8(identity(250))
    emit(wrapping_add(a, 10))
    emit(wrapping_sub(u32(identity(0)), 1))
    emit(wrapping_mul(u16(identity(300)), 300))
    emit(wrapping_add(i32(identity(0x7FFF_FFFF)), 1))
    emit(i64(wrapping_mul(u64(identity(-1)), u64(identity(-1)))))


def case_bit_helpers() -> None:
    emit(rotate_left(u8(identity(0x81)), 1))
    emit(rotate_left(u32(identity(0x8000_0001)), 4))
    emit(i64(rotate_left(u64(identity(1)), 63) >> 1))
    emit(leading_zeros(u32(identity(1))))
    emit(leading_zeros(u64(identity(0))))
    emit(leading_zeros(u16(identity(256))))
    emit(trailing_zeros(u64(identity(4096))))
    emit(trailing_zeros(u32(identity(0))))
    emit(popcount(u32(identity(0xFF00_FF01))))
    emit(popcount(u8(identity(-1))))
    emit(byteswap(u16(identity(0x1234))))
    emit(byteswap(u32(identity(0x1234_5678))))
    emit(i64(byteswap(u64(identity(0x0102_0304_0506_0708)))))


def case_min_max_abs() -> None:
    a = identity(-5)
    b = identity(9)
    emit(min(a, b))
    emit(max(a, b))
    emit(abs(a))
    emit(max(a, b, 100))
    c: u32 = u32(b)
    emit(min(c, 4))


def case_comparisons() -> None:
    a = identity(3)
    emit(int(1 < a < 5))
    emit(int(1 < a < 3))
    emit(int(a == 3 and a != 4))
    emit(int(not a >= 3))
    x: u64 = u64(identity(-1))
    emit(int(x == BIG))
    emit(int(x > 5))


def case_literals_take_the_type_of_what_they_meet() -> None:
    n = 0
    limit: u32 = u32(identity(5))
    while n < limit:
        n += 1
    emit(n)
    x: u64 = BIG
    x -= 1
    emit(i64(x >> 1))
    address: u64 = u64(identity(5000))
    emit(i64(address & ~(PAGE - 1)))
    emit(i64((address + PAGE - 1) // PAGE * PAGE))


def case_edges_do_not_trap() -> None:
    a: u8 = u8(identity(254))
    a += 1
    emit(a)
    a -= 255
    emit(a)
    b = identity(-0x7FFF_FFFF_FFFF_FFFF) - 1
    emit(b)
    emit(b // 2)
    emit(b % 2)
    emit(-(b + 1))
    c: i32 = i32(identity(-(1 << 31)))
    emit(c // 1)
    d: u64 = 1 << 63
    emit(i64(d))


def case_narrowing_that_fits() -> None:
    x: u32 = u32(identity(255))
    emit(small(x))
    y: u8 = x
    emit(y)
    z: usize = x
    emit(i64(z))


def case_conditional_expression() -> None:
    a = identity(4)
    emit(1 if a > 3 else 2)
    x: u8 = 7 if a < 3 else 9
    emit(x)


def trap_add_u8() -> None:
    """traps: overflow"""
    a: u8 = u8(identity(255))
    b: u8 = u8(identity(1))
    emit(a + b)


def trap_add_i64() -> None:
    """traps: overflow"""
    emit(identity(0x7FFF_FFFF_FFFF_FFFF) + identity(1))


def trap_subtract_below_zero() -> None:
    """traps: overflow"""
    a: u64 = u64(identity(3))
    b: u64 = u64(identity(4))
    emit(i64(a - b))


def trap_multiply_u32() -> None:
    """traps: overflow"""
    a: u32 = u32(identity(0x10000))
    emit(a * a)


def trap_multiply_u64() -> None:
    """traps: overflow"""
    a: u64 = u64(identity(1 << 33))
    emit(i64(a * a))


def trap_negate_minimum() -> None:
    """traps: overflow"""
    emit(-identity(-0x7FFF_FFFF_FFFF_FFFF - 1))


def trap_divide_minimum_by_minus_one() -> None:
    """traps: overflow"""
    emit(identity(-0x7FFF_FFFF_FFFF_FFFF - 1) // identity(-1))


def trap_shift_out() -> None:
    """traps: overflow"""
    a: u32 = u32(identity(3))
    n: u32 = u32(identity(31))
    emit(a << n)


def trap_shift_by_too_much() -> None:
    """traps: shift"""
    a: u32 = u32(identity(1))
    n: u32 = u32(identity(32))
    emit(a << n)


def trap_narrow_assignment() -> None:
    """traps: narrow"""
    x: u32 = u32(identity(256))
    y: u8 = x
    emit(y)


def trap_narrow_argument() -> None:
    """traps: narrow"""
    emit(small(u32(identity(300))))


def trap_divide_by_zero() -> None:
    """traps: divide"""
    emit(identity(5) // identity(0))


def trap_remainder_by_zero() -> None:
    """traps: divide"""
    a: u32 = u32(identity(0))
    emit(u32(7) % a)


def trap_augmented() -> None:
    """traps: overflow"""
    a: u16 = u16(identity(65535))
    a += 1
    emit(a)
