# SPDX-License-Identifier: Apache-2.0
"""str, natively: a list of pieces that lives in the caller's frame, and `render`, which turns it into bytes for a sink.

An f-string is never put together in memory: the caller lists its literals and values as `Piece`s, and the sink sees
one run of bytes after another. Formatting follows Python's format specification mini-language for the forms that
docs/language.md lists.
"""

from __future__ import annotations

from collections.abc import Callable

from kaa.lang import Array, Bytes, i64, leading_zeros, recursive, struct, u8, u16, u32, u64, usize, wrapping_sub
from kaa.lang.unsafe import Ptr, text_pieces

LITERAL, SIGNED, UNSIGNED, HEX, BYTES, CHARACTER, NESTED, BOOL = range(8)
"""Kinds of pieces: what `value` is."""
ZERO_FILL, PREFIX, LEFT, RIGHT = 1, 2, 4, 8
"""Flags: '0' before the width, '#', '<', '>'. Without '<' or '>' numbers go right and text left."""

SPACES = b"                "
ZEROES = b"0000000000000000"


@struct
class Piece:
    """One literal or formatted value."""

    kind: u8
    flags: u8
    width: u16
    """At least so many bytes."""
    length: u32
    """Of LITERAL and BYTES, in bytes."""
    value: u64
    """The number; the address of the bytes; the address of a Text."""


@struct
class Text:
    """What a str parameter points at."""

    pieces: u64
    count: u64


def render(text: str, put: Callable[[Bytes], None]) -> None:
    """Give `put` all of `text`, in runs of bytes that are valid during the call only."""
    for piece in text_pieces(text):
        render_piece(piece, put)


def render_piece(piece: Piece, put: Callable[[Bytes], None]) -> None:
    """One piece, padded to its width."""
    kind = piece.kind
    if kind == LITERAL or kind == BYTES:
        if piece.length > 0:
            put_text(piece, Ptr[u8](piece.value).slice(piece.length), put)
    elif kind == SIGNED or kind == UNSIGNED:
        put_decimal(piece, put)
    elif kind == HEX:
        put_hex(piece, put)
    elif kind == CHARACTER:
        put_character(piece, put)
    elif kind == BOOL:
        put_text(piece, b"True" if piece.value != 0 else b"False", put)
    elif kind == NESTED:
        put_nested(piece, put)


@recursive(4, "a text inside a text is an f-string in the program's source that has a str in it")
def put_nested(piece: Piece, put: Callable[[Bytes], None]) -> None:
    """A str inside an f-string."""
    text = Ptr[Text](piece.value).place()
    missing = padding(piece, measure_nested(piece)) if piece.width > 0 else 0
    if piece.flags & RIGHT != 0:
        put_fill(SPACES, missing, put)
    for inner in Ptr[Piece](text.pieces).slice(text.count):
        render_piece(inner, put)
    if piece.flags & RIGHT == 0:
        put_fill(SPACES, missing, put)


def measure(piece: Piece) -> usize:
    """How many bytes a piece is when rendered."""
    kind = piece.kind
    size: usize = piece.length
    if kind == SIGNED or kind == UNSIGNED:
        size = measure_decimal(piece)
    elif kind == HEX:
        size = max((67 - leading_zeros(piece.value)) // 4, 1) + (2 if piece.flags & PREFIX != 0 else 0)
    elif kind == CHARACTER:
        size = 1
    elif kind == BOOL:
        size = 4 if piece.value != 0 else 5
    elif kind == NESTED:
        size = measure_nested(piece)
    return max(size, piece.width)


def measure_decimal(piece: Piece) -> usize:
    """Digits, and the minus sign."""
    negative = piece.kind == SIGNED and i64(piece.value) < 0
    rest = wrapping_sub(u64(0), piece.value) if negative else piece.value
    size: usize = 2 if negative else 1
    while rest >= 10:
        rest //= 10
        size += 1
    return size


@recursive(4, "a text inside a text is an f-string in the program's source that has a str in it")
def measure_nested(piece: Piece) -> usize:
    """The sum of the inner pieces."""
    text = Ptr[Text](piece.value).place()
    size: usize = 0
    for inner in Ptr[Piece](text.pieces).slice(text.count):
        size += measure(inner)
    return size


def put_character(piece: Piece, put: Callable[[Bytes], None]) -> None:
    """A code point below 128; others are shown as '?'."""
    one = Array[u8, 1]()
    one[0] = u8(piece.value) if piece.value < 128 else 0x3F
    put_text(piece, one[:], put)


def put_decimal(piece: Piece, put: Callable[[Bytes], None]) -> None:
    """A number in base ten; negative ones are SIGNED with the top bit set."""
    digits = Array[u8, 20]()
    negative = piece.kind == SIGNED and i64(piece.value) < 0
    rest = wrapping_sub(u64(0), piece.value) if negative else piece.value
    at: usize = 20
    while True:
        at -= 1
        digits[at] = u8(0x30 + rest % 10)
        rest //= 10
        if rest == 0:
            break
    put_number(piece, b"-" if negative else b"", digits[at:20], put)


def put_hex(piece: Piece, put: Callable[[Bytes], None]) -> None:
    """A number in base sixteen."""
    digits = Array[u8, 16]()
    rest = piece.value
    at: usize = 16
    while True:
        at -= 1
        digits[at] = b"0123456789abcdef"[rest & 15]
        rest >>= 4
        if rest == 0:
            break
    put_number(piece, b"0x" if piece.flags & PREFIX != 0 else b"", digits[at:16], put)


def put_number(piece: Piece, sign: Bytes, digits: Bytes, put: Callable[[Bytes], None]) -> None:
    """Sign or prefix, then digits; zeroes go between the two, spaces before or after both."""
    missing = padding(piece, len(sign) + len(digits))
    if piece.flags & (ZERO_FILL | LEFT) == 0:
        put_fill(SPACES, missing, put)
    if len(sign) > 0:
        put(sign)
    if piece.flags & ZERO_FILL != 0:
        put_fill(ZEROES, missing, put)
    put(digits)
    if piece.flags & LEFT != 0 and piece.flags & ZERO_FILL == 0:
        put_fill(SPACES, missing, put)


def put_text(piece: Piece, text: Bytes, put: Callable[[Bytes], None]) -> None:
    """Text; padded on the right unless '>' says otherwise."""
    missing = padding(piece, len(text))
    if piece.flags & RIGHT != 0:
        put_fill(SPACES, missing, put)
    put(text)
    if piece.flags & RIGHT == 0:
        put_fill(SPACES, missing, put)


def padding(piece: Piece, length: usize) -> usize:
    """How many bytes are missing to the piece's width."""
    return piece.width - length if piece.width > length else 0


def put_fill(fill: Bytes, count: usize, put: Callable[[Bytes], None]) -> None:
    """`count` bytes of padding, 16 at a time."""
    while count > 0:
        step = min(count, 16)
        put(fill[:step])
        count -= step
