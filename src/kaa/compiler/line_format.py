# SPDX-License-Identifier: Apache-2.0
"""The bytes of section .kaa_lines (format: kaa/kernel/arch/traceback.py): columns of numbers, each as wide as its
largest needs, and strings in short words."""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kaa.compiler import short_words

MAGIC = 0x334C414B
HEADER_WORDS = 16
STRINGS, WORDS = 12, 13
"""The header's words that say where the strings and the short words begin."""
ADDRESS, CHAIN, LINK, FUNCTION, TEXT, LINE, NAME, FILE, OFFSET = range(9)
COLUMNS = 9
STRIDE = 8
"""Of so many strings, the offset of the first is told."""
REACH = 64
"""So many bytes the kernel looks back from an address for its site."""


@dataclass(frozen=True)
class Frame:
    """A frame as a traceback shows it."""

    name: str
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f'  File "{self.file}", line {self.line}, in {self.name}' + (f"\n    {self.text}" if self.text else "")


def width(largest: int) -> int:
    """Bytes that a number up to so large takes."""
    return max((largest.bit_length() + 7) // 8, 1)


def _column(numbers: Sequence[int], size: int) -> bytes:
    """Numbers of `size` bytes each, little endian."""
    data = bytearray(struct.pack(f"<{len(numbers)}I", *numbers))
    if size == 4:
        return bytes(data)
    out = bytearray(size * len(numbers))
    for byte in range(size):
        out[byte::size] = data[byte::4]
    return bytes(out)


def write(columns: Sequence[Sequence[int]], strings: Sequence[bytes]) -> bytes:
    """The section: all columns but OFFSET, in their order, and the strings."""
    places: list[int] = []
    at = 0
    for number, string in enumerate(strings):
        if number % STRIDE == 0:
            places.append(at)
        at += len(string) + 1
    words = [MAGIC, len(columns[ADDRESS]), len(strings)]
    body: list[bytes] = []
    end = 4 * HEADER_WORDS
    for numbers in (*columns, places):
        size = width(max(numbers, default=0))
        words.append(end << 3 | size)
        body.append(_column(numbers, size))
        end += len(body[-1])
    words += [end, end + at]
    words += [0] * (HEADER_WORDS - len(words))
    return b"".join((struct.pack(f"<{len(words)}I", *words), *body, *(s + b"\0" for s in strings), short_words.table()))


class Reader:
    """A table as the kernel reads it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.words = struct.unpack(f"<{HEADER_WORDS}I", data[: 4 * HEADER_WORDS].ljust(4 * HEADER_WORDS, b"\0"))

    def number(self, column: int, index: int) -> int:
        """One number of a column."""
        place = self.words[3 + column]
        size = place & 7
        at = (place >> 3) + size * index
        return int.from_bytes(self.data[at : at + size], "little")

    def string(self, identity: int) -> str:
        """A string, its words written out."""
        at = self.words[STRINGS] + self.number(OFFSET, identity // STRIDE)
        for _ in range(identity % STRIDE):
            at = self.data.index(0, at) + 1
        return short_words.lengthen(self.data[at : self.data.index(0, at)], self.data[self.words[WORDS] :])

    def frames(self, offset: int) -> Iterator[Frame]:
        """What is found for an address less kaa_image_base: frames, innermost first; none where there is no table."""
        count = self.words[1] if self.words[0] == MAGIC else 0
        site = bisect_right(range(count), offset, key=lambda index: self.number(ADDRESS, index)) - 1
        if site < 0 or offset - self.number(ADDRESS, site) > REACH:
            return
        at, more = self.number(CHAIN, site), 1
        while more:
            link = self.number(LINK, at)
            frame, more = link >> 1, link & 1
            function, text = self.number(FUNCTION, frame), self.number(TEXT, frame)
            yield Frame(self.string(self.number(NAME, function)), self.string(self.number(FILE, function)),
                        self.number(LINE, frame), self.string(text) if text else "")  # fmt: skip
            at += 1


def table_in(data: bytes) -> bytes:
    """The table in a file without sections, and what follows it."""
    for match in re.finditer(re.escape(struct.pack("<I", MAGIC)), data):
        at = match.start()
        if at % 16 == 0 and struct.unpack_from("<I", data, at + 12)[0] >> 3 == 4 * HEADER_WORDS:
            return data[at:]
    return b""
