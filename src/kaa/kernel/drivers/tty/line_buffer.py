# SPDX-License-Identifier: Apache-2.0
"""The input of a terminal: received bytes, and where among them lines end.

Three counters divide the ring: bytes between `tail` and `line_end` can be read in canonical mode, those between
`line_end` and `head` are the line being typed, which erase and kill may still change. In non-canonical mode
everything up to `head` can be read. `marks` has a bit for each place: "a line ends here". An end-of-file
character is kept as a marked NUL, which reading removes (POSIX, General Terminal Interface, 11.1.6).
"""

from __future__ import annotations

from kaa.lang import Array, Slice, part, u8, u64, usize

LINE_BUFFER_SIZE = 4096
_MASK = LINE_BUFFER_SIZE - 1
END_OF_FILE = 0


@part
class LineBuffer:
    """Bytes of a terminal that no reader has taken yet. Part of the terminal, covered by its lock."""

    data: Array[u8, 4096]
    marks: Array[u64, 64]
    head: usize = 0
    tail: usize = 0
    line_end: usize = 0

    def __init__(self) -> None:
        self.data = Array[u8, 4096]()
        self.marks = Array[u64, 64]()

    def clear(self) -> None:
        """Forget all input."""
        self.tail = self.head
        self.line_end = self.head

    def room(self) -> usize:
        """Bytes that still fit."""
        return LINE_BUFFER_SIZE - self.unread()

    def typed(self) -> usize:
        """Length of the line being typed."""
        return self.head - self.line_end

    def lines(self) -> usize:
        """Bytes in complete lines."""
        return self.line_end - self.tail

    def unread(self) -> usize:
        """All bytes that were received and not read."""
        return self.head - self.tail

    def at(self, position: usize) -> u8:
        """The byte at a counter's value between `tail` and `head`."""
        return self.data[position & _MASK]

    def push(self, byte: u8) -> bool:
        """Append a byte of the current line; False when the ring is full."""
        if self.head - self.tail >= LINE_BUFFER_SIZE:
            return False
        place = self.head & _MASK
        self.data[place] = byte
        self.marks[place >> 6] &= ~(u64(1) << (place & 63))
        self.head += 1
        return True

    def push_delimiter(self, byte: u8) -> bool:
        """Append the byte that ends the current line (NUL for end of file); False when the ring is full."""
        if not self.push(byte):
            return False
        self.complete()
        return True

    def complete(self) -> None:
        """What was typed so far is a line, ended by its last byte."""
        if self.head != self.tail:
            place = (self.head - 1) & _MASK
            self.marks[place >> 6] |= u64(1) << (place & 63)
        self.line_end = self.head

    def drop_last(self) -> u8:
        """Take back the last byte of the line being typed, which must not be empty."""
        assert self.head != self.line_end
        self.head -= 1
        return self.data[self.head & _MASK]

    def marked(self, position: usize) -> bool:
        """Whether a line ends at this counter's value."""
        place = position & _MASK
        return (self.marks[place >> 6] >> (place & 63)) & 1 != 0

    def take(self, into: Slice[u8]) -> usize:
        """Non-canonical read: up to `len(into)` bytes; how many."""
        total = min(usize(len(into)), self.head - self.tail)
        start = self.tail & _MASK
        first = min(total, LINE_BUFFER_SIZE - start)
        into[:first].copy_from(self.data[start : start + first])
        if first < total:
            into[first:total].copy_from(self.data[0 : total - first])
        self.tail += total
        if self.line_end < self.tail:
            self.line_end = self.tail
        return total

    def take_line(self, into: Slice[u8]) -> tuple[usize, bool]:
        """Canonical read: bytes of the first line, and whether its end was among them (or was an end of file)."""
        count: usize = 0
        while count < len(into) and self.tail != self.line_end:
            byte = self.data[self.tail & _MASK]
            ends = self.marked(self.tail)
            self.tail += 1
            if ends and byte == END_OF_FILE:
                return count, True
            into[count] = byte
            count += 1
            if ends:
                return count, True
        return count, self._take_end_of_file(count)

    def _take_end_of_file(self, count: usize) -> bool:
        """After some bytes of a line: an end of file right behind them only said "now", and is taken too."""
        if count == 0 or self.tail == self.line_end:
            return False
        if self.data[self.tail & _MASK] != END_OF_FILE or not self.marked(self.tail):
            return False
        self.tail += 1
        return True
