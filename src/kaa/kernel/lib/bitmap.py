# SPDX-License-Identifier: Apache-2.0
"""A bitmap of a size chosen when it is made: which small numbers (descriptors, ids) are taken."""

from __future__ import annotations

from typing import Final

from kaa.lang import trailing_zeros, u64

WORD: Final = 64
FULL: Final = 0xFFFF_FFFF_FFFF_FFFF


class Bitmap:
    """Bits 0 to size - 1, all clear at first. Grows by `extend`."""

    words: list[u64]
    size: u64

    def __init__(self, size: u64) -> None:
        self.words = []
        self.size = 0
        self.extend(size)

    def extend(self, size: u64) -> None:
        """Have at least `size` bits. Raises MemoryError."""
        while self.size < size:
            self.words.append(u64(0))
            self.size += WORD

    def test(self, bit: u64) -> bool:
        """Whether the bit is set; beyond the size it is not."""
        return bit < self.size and (self.words[bit >> 6] >> (bit & 63)) & 1 != 0

    def set(self, bit: u64) -> None:
        """Set a bit within the size."""
        self.words[bit >> 6] = self.words[bit >> 6] | (u64(1) << (bit & 63))

    def clear(self, bit: u64) -> None:
        """Clear a bit within the size."""
        self.words[bit >> 6] = self.words[bit >> 6] & (FULL ^ (u64(1) << (bit & 63)))

    def first_clear(self, start: u64) -> u64:
        """The lowest clear bit at or above start; the size if there is none."""
        bit = start
        while bit < self.size:
            missing = (FULL ^ self.words[bit >> 6]) >> (bit & 63)
            if missing != 0:
                return bit + trailing_zeros(missing)
            bit = ((bit >> 6) + 1) << 6
        return self.size
