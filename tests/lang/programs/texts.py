# SPDX-License-Identifier: Apache-2.0
"""str parameters: literals, f-strings and constants, rendered as Python formats them."""

from __future__ import annotations

from enum import IntEnum

from kaa.lang import Array, Bytes, i8, i64, u8, u16, u32, u64, usize
from kaa.lang.builtins.text import render
from kaa.lang.testing import emit, emit_bytes

NAME = "kernel"


class Buffer:
    """Collects what render gives: runs may be split differently under CPython, the bytes are the same."""

    data: Array[u8, 256]
    length: usize = 0

    def __init__(self) -> None:
        self.data = Array[u8, 256]()


BUFFER = Buffer()


def put(run: Bytes) -> None:
    for byte in run:
        BUFFER.data[BUFFER.length] = byte
        BUFFER.length += 1


def show(text: str) -> None:
    BUFFER.length = 0
    render(text, put)
    emit_bytes(BUFFER.data[: BUFFER.length])


def twice(text: str) -> None:
    show(f"<{text}>")


class Kind(IntEnum):
    LINK = 7


def case_literals() -> None:
    show("hello")
    show("")
    show(NAME)


def case_numbers() -> None:
    n = -42
    m: u32 = 255
    show(f"{n} {m}")
    show(f"{n:d}|{n:6}|{n:06}|{m:x}|{m:#x}|{m:08x}|{m:#06x}|{m:>6}|{m:<6}|{m:>6x}")
    big: u64 = 0xFFFF_FFFF_FFFF_FFFF
    show(f"{big} {big:x}")
    least: i64 = -0x7FFF_FFFF_FFFF_FFFF - 1
    show(f"{least}")
    tiny: i8 = -3
    word: u16 = 0
    show(f"{tiny}{word}{n + 2}{m // 2}")


def case_text_and_bytes() -> None:
    flag = 3 > 2
    show(f"{NAME}:{flag}")
    show(f"{NAME:>10}|{NAME:<10}|")
    letter: u8 = 0x41
    show(f"[{letter:c}]")
    twice("inner")
    twice(f"{letter}")
    padded(f"{letter:x}{flag}{letter:#x}")


def padded(text: str) -> None:
    show(f"<{text:>20}|{text:<16}>")


def case_enums_as_numbers() -> None:
    kind = Kind.LINK
    show(f"{int(kind)}")


def case_braces() -> None:
    n = 1
    show(f"{{{n}}} 100%")


def case_bytes_are_shown_as_text() -> None:
    BUFFER.length = 0
    name = b"raw"
    n = 7
    render("", put)
    show(f"[{n:>20}]{NAME:<8}{n:<3}.")
    emit(int(len(name)))
