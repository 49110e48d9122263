# SPDX-License-Identifier: Apache-2.0
"""Machine integers under CPython: int subclasses whose call truncates, and the wrapping and bit helpers.

`u32(x)` keeps the low 32 bits; the result is an `int` that remembers its width, which arithmetic forgets (checked
overflow is the compiler's). Helpers whose result depends on a width take it from the first operand that has one: from
the value, or, for a plain int, from what the calling function says of that operand (see `widths`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    u8: TypeAlias = int
    u16: TypeAlias = int
    u32: TypeAlias = int
    u64: TypeAlias = int
    usize: TypeAlias = int
    i8: TypeAlias = int
    i16: TypeAlias = int
    i32: TypeAlias = int
    i64: TypeAlias = int
    isize: TypeAlias = int
else:

    class MachineInteger(int):
        """Base of all fixed-width integers: the call truncates (two's complement)."""

        __slots__ = ()
        __kaa_int__: ClassVar[tuple[int, bool]] = (64, True)

        def __new__(cls, value: object = 0) -> int:
            bits, signed = cls.__kaa_int__
            low = int(value) & ((1 << bits) - 1)
            if signed and low >> (bits - 1):
                low -= 1 << bits
            return int.__new__(cls, low)

    def _make(name: str, bits: int, signed: bool) -> type:
        body = {"__kaa_int__": (bits, signed), "__slots__": (), "__module__": "kaa.lang", "__qualname__": name}
        return type(name, (MachineInteger,), body)

    u8, u16, u32, u64 = (_make(f"u{bits}", bits, False) for bits in (8, 16, 32, 64))
    i8, i16, i32, i64 = (_make(f"i{bits}", bits, True) for bits in (8, 16, 32, 64))
    usize, isize = u64, i64

INTEGER_TYPES: tuple[type, ...] = (u8, u16, u32, u64, i8, i16, i32, i64)


def width_of(cls: object) -> tuple[int, bool] | None:
    """(bits, signed) of an integer type, an enum or int; None for anything else."""
    width = getattr(cls, "__kaa_width__", cls)
    found = getattr(width, "__kaa_int__", None)
    if found is None and isinstance(cls, type) and issubclass(cls, int) and cls is not bool:
        return (64, True)
    return found


def _integer(*operands: int) -> Callable[[int], int]:
    """The type that the first typed operand has: told by its value, else by the caller's source."""
    if type(operands[0]) in INTEGER_TYPES:
        return type(operands[0])
    from kaa.lang.widths import width_at_call

    return width_at_call(3, operands)


def _typed(operand: int) -> tuple[Callable[[int], int], int, int]:
    """(type, bits, the operand's bits as an unsigned number)."""
    cls: Any = type(operand)
    if cls not in INTEGER_TYPES:
        from kaa.lang.widths import width_at_call

        cls = width_at_call(3, (operand,))
    bits: int = cls.__kaa_int__[0]
    return cls, bits, operand & ((1 << bits) - 1)


def wrapping_add(a: int, b: int) -> int:
    """a + b modulo 2**width of the first typed operand."""
    return _integer(a, b)(a + b)


def wrapping_sub(a: int, b: int) -> int:
    """a - b modulo 2**width of the first typed operand."""
    return _integer(a, b)(a - b)


def wrapping_mul(a: int, b: int) -> int:
    """a * b modulo 2**width of the first typed operand."""
    return _integer(a, b)(a * b)


def rotate_left(x: int, n: int) -> int:
    """x rotated left by n bits (modulo its width)."""
    cls, bits, value = _typed(x)
    n %= bits
    return cls(value << n | value >> (bits - n))


def leading_zeros(x: int) -> int:
    """Zero bits above the highest one; the width for 0."""
    _, bits, value = _typed(x)
    return bits - value.bit_length()


def trailing_zeros(x: int) -> int:
    """Zero bits below the lowest one; the width for 0."""
    if x != 0:
        return (x & -x).bit_length() - 1
    return _typed(x)[1]


def popcount(x: int) -> int:
    """How many bits are one."""
    return int.bit_count(x) if x >= 0 else _typed(x)[2].bit_count()


def byteswap(x: int) -> int:
    """x with its bytes in the opposite order."""
    cls, bits, value = _typed(x)
    return cls(int.from_bytes(value.to_bytes(bits // 8, "little"), "big"))
