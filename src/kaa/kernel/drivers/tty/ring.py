# SPDX-License-Identifier: Apache-2.0
"""A ring of 4,096 bytes: what terminals queue, in and out.

`head` and `tail` only grow; their difference is the fill, their low bits the place. A ring is part of its owner, whose
lock covers it.
"""

from __future__ import annotations

from kaa.lang import Array, Bytes, Slice, part, u8, usize

RING_SIZE = 4096
_MASK = RING_SIZE - 1


@part
class ByteRing:
    """First in, first out, by single bytes or by runs."""

    data: Array[u8, 4096]
    head: usize = 0
    tail: usize = 0

    def __init__(self) -> None:
        self.data = Array[u8, 4096]()

    def fill(self) -> usize:
        """Bytes that wait."""
        return self.head - self.tail

    def room(self) -> usize:
        """Bytes that still fit."""
        return RING_SIZE - self.fill()

    def clear(self) -> None:
        """Forget everything."""
        self.tail = self.head

    def put(self, byte: u8) -> bool:
        """Append one byte; False when the ring is full."""
        if self.head - self.tail == RING_SIZE:
            return False
        self.data[self.head & _MASK] = byte
        self.head += 1
        return True

    def get(self) -> u8:
        """Take the oldest byte; the ring must not be empty."""
        assert self.head != self.tail
        byte = self.data[self.tail & _MASK]
        self.tail += 1
        return byte

    def write(self, source: Bytes) -> usize:
        """Append as much of `source` as fits; how much that was."""
        total = min(usize(len(source)), self.room())
        start = self.head & _MASK
        first = min(total, RING_SIZE - start)
        self.data[start : start + first].copy_from(source[:first])
        if first < total:
            self.data[0 : total - first].copy_from(source[first:total])
        self.head += total
        return total

    def read(self, into: Slice[u8]) -> usize:
        """Take up to `len(into)` of the oldest bytes; how many."""
        total = min(usize(len(into)), self.fill())
        start = self.tail & _MASK
        first = min(total, RING_SIZE - start)
        into[:first].copy_from(self.data[start : start + first])
        if first < total:
            into[first:total].copy_from(self.data[0 : total - first])
        self.tail += total
        return total
