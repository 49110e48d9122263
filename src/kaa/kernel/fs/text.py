# SPDX-License-Identifier: Apache-2.0
"""Text that grows: what procfs, mount options and path building write into. Pages of bytes, numbers as decimal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.mm import buddy, frame
from kaa.lang import Array, Bytes, i64, part, u8, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.mm.user import UserBuf

CHUNK = 2000
"""Bytes per piece: two pieces with their headers share a page of the slab."""


@part
class TextChunk:
    """One piece of a text."""

    data: Array[u8, CHUNK]
    used: usize = 0

    def __init__(self) -> None:
        self.data = Array[u8, CHUNK]()
        self.used = 0


@part
class TextBuffer:
    """Append-only text. Each append can raise MemoryError. Part of what keeps it."""

    chunks: list[TextChunk]
    length: usize

    def __init__(self) -> None:
        self.chunks = []
        self.length = 0

    def clear(self) -> None:
        """Start anew, in the first piece if there is one: a text as long as the last one needs no memory."""
        while len(self.chunks) > 1:
            self.chunks.pop()
        if len(self.chunks) == 1:
            self.chunks[0].used = 0
        self.length = 0

    def add(self, text: Bytes) -> None:
        """Append bytes."""
        done: usize = usize(0)
        while done < len(text):
            chunk = self._room()
            take = min(len(text) - done, CHUNK - chunk.used)
            chunk.data[chunk.used : chunk.used + take].copy_from(text[done : done + take])
            chunk.used += take
            done += take
        self.length += len(text)

    def _room(self) -> TextChunk:
        count = len(self.chunks)
        if count > 0:
            last = self.chunks[count - 1]
            if last.used < CHUNK:
                return last
        fresh = TextChunk()
        self.chunks.append(fresh)
        return fresh

    def byte(self, value: u8) -> None:
        """Append one byte."""
        chunk = self._room()
        chunk.data[chunk.used] = value
        chunk.used += 1
        self.length += 1

    def decimal(self, value: u64, width: u32 = 0) -> None:
        """Append a number, padded with spaces on the left to `width`."""
        self._number(value, 10, width, 0x20)

    def signed(self, value: i64) -> None:
        """Append a signed number."""
        if value < 0:
            self.byte(0x2D)
            self.decimal(u64(-(value + 1)) + 1)
        else:
            self.decimal(u64(value))

    def hexadecimal(self, value: u64, width: u32 = 0) -> None:
        """Append a number in hexadecimal, zero-filled to `width`."""
        self._number(value, 16, width, 0x30)

    def octal(self, value: u64, width: u32 = 0) -> None:
        """Append a number in octal, zero-filled to `width`."""
        self._number(value, 8, width, 0x30)

    def _number(self, value: u64, base: u64, width: u32, fill: u8) -> None:
        digits = Array[u8, 24]()
        at: u32 = u32(24)
        rest = value
        while True:
            at -= 1
            digit = u8(rest % base)
            digits[at] = digit + 0x30 if digit < 10 else digit + 0x57
            rest = rest // base
            if rest == 0:
                break
        for _ in range(24 - at, width):
            self.byte(fill)
        self.add(digits[at:24])

    def copy_out(self, buf: UserBuf, offset: u64) -> usize:
        """Copy to the caller what the text holds from `offset` on, as far as `buf` goes. Raises OSError(EFAULT)."""
        done: usize = usize(0)
        start: u64 = u64(0)
        for chunk in self.chunks:
            end = start + chunk.used
            at = offset + done
            if at >= start and at < end and buf.remaining() > 0:
                take = min(end - at, buf.remaining())
                buf.copy_out(chunk.data[at - start : at - start + take])
                done += take
            start = end
        return done

    def to_bytes(self) -> bytes:
        """The text in one piece. Raises MemoryError."""
        if len(self.chunks) == 0:
            return b""
        if len(self.chunks) == 1:
            first = self.chunks[0]
            return bytes(first.data[0 : first.used])
        return self._joined()

    def _joined(self) -> bytes:
        """Through pages in a row, which only long texts need (a script's argument, a whole file)."""
        order: u32 = u32(0)
        while (usize(4096) << order) < self.length:
            order += 1
        pfn = u64(buddy.allocate_pages(order))
        try:
            whole = frame.block(pfn, u64(1) << order)
            at: usize = usize(0)
            for chunk in self.chunks:
                whole[at : at + chunk.used].copy_from(chunk.data[0 : chunk.used])
                at += chunk.used
            return bytes(whole[0:at])
        finally:
            buddy.free_pages(pfn, order)


def join(first: Bytes, second: Bytes, third: Bytes = b"") -> bytes:
    """Up to three pieces as one bytes object."""
    text = TextBuffer()
    text.add(first)
    text.add(second)
    text.add(third)
    return text.to_bytes()


def parse_number(text: Bytes, base: u64 = 10) -> u64:
    """An unsigned number made of nothing but digits of `base`. Raises OSError(EINVAL)."""
    if len(text) == 0 or len(text) > 20:
        raise OSError(22)
    value: u64 = u64(0)
    for c in text:
        digit = digit_value(c)
        if digit >= base or value >= (u64(1) << 58):
            raise OSError(22)
        value = value * base + digit
    return value


def digit_value(c: u8) -> u64:
    """The value of a hexadecimal digit; 99 for anything else."""
    if 0x30 <= c <= 0x39:
        return u64(c - 0x30)
    if 0x61 <= c <= 0x66:
        return u64(c - 0x57)
    if 0x41 <= c <= 0x46:
        return u64(c - 0x37)
    return u64(99)


def trimmed(text: Bytes) -> Bytes:
    """Without spaces, tabs and newlines at either end."""
    start: usize = usize(0)
    end: usize = len(text)
    while start < end and is_space(text[start]):
        start += 1
    while end > start and is_space(text[end - 1]):
        end -= 1
    return text[start:end]


def is_space(c: u8) -> bool:
    """Space, tab or newline."""
    return c == 0x20 or c == 0x09 or c == 0x0A


def kib(out: TextBuffer, name: Bytes, pages: u64) -> None:
    """A line "name n kB", as meminfo(5) has them."""
    out.add(name)
    out.decimal(pages * 4, 8)
    out.add(b" kB\n")
