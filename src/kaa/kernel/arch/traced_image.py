# SPDX-License-Identifier: Apache-2.0
"""What a traceback reads by raw address: the numbers and strings of section .kaa_lines, and the frames of a stack.

The section's format is told in traceback.py. Nothing here trusts a frame pointer: one that is neither on a kernel stack
nor in the image's data ends the walk, since reading it could fault within the panic.
"""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.lang import Array, Bytes, u8, u32, u64, usize
from kaa.lang.unsafe import Ptr, symbol

MAGIC = 0x334C414B
HEADER_WORDS = 16
ADDRESS, CHAIN, LINK, FUNCTION, TEXT, LINE, NAME, FILE, OFFSET = 0, 1, 2, 3, 4, 5, 6, 7, 8
STRINGS, WORDS = 12, 13
STRIDE = 8
FIRST_WORD = 128
WORD_LENGTH = 12


def word(index: u64) -> u32:
    """A word of the header."""
    return Ptr[u32](symbol("kaa_lines_start"))[index]


def number(column: u64, index: u32) -> u32:
    """A number of a column."""
    place = word(3 + column)
    width = u64(place & 7)
    digits = Ptr[u8](symbol("kaa_lines_start") + (place >> 3) + width * index)
    result: u32 = 0
    for byte in range(width):
        result |= u32(digits[byte]) << u32(8 * byte)
    return result


def sites() -> u32:
    """How many sites the table has."""
    return word(u64(1))


def present() -> bool:
    """Did the build put a table there?"""
    size = symbol("kaa_lines_end") - symbol("kaa_lines_start")
    return size > 4 * HEADER_WORDS and word(u64(0)) == MAGIC


class Spelling:
    """A string of the table, its words written out."""

    text: Array[u8, 160]
    length: usize

    def __init__(self) -> None:
        self.text = Array[u8, 160]()
        self.length = usize(0)

    def of(self, identity: u32) -> Bytes:
        """The string; valid until the next one is spelled here."""
        if identity >= word(u64(2)):
            return b"?"
        short = Ptr[u8](symbol("kaa_lines_start") + word(STRINGS) + number(OFFSET, identity // STRIDE))
        at: usize = usize(0)
        for _ in range(identity % STRIDE):
            while short[at] != 0:
                at += 1
            at += 1
        self.length = usize(0)
        while short[at] != 0:
            if short[at] < FIRST_WORD:
                self._put(short[at])
            else:
                self._put_word(short[at] - FIRST_WORD)
            at += 1
        return self.text[: self.length]

    def _put(self, byte: u8) -> None:
        if self.length < len(self.text):
            self.text[self.length] = byte
            self.length += 1

    def _put_word(self, number: u8) -> None:
        letters = Ptr[u8](symbol("kaa_lines_start") + word(WORDS) + WORD_LENGTH * u64(number))
        for at in range(WORD_LENGTH):
            if letters[at] != 0:
                self._put(letters[at])


file, function, source = Spelling(), Spelling(), Spelling()


def offset(address: u64) -> u64:
    """An address of the image as the table's sites are counted."""
    return address - symbol("kaa_image_base")


def in_text(address: u64) -> bool:
    """Is it code of the kernel's?"""
    return symbol("kaa_text_start") <= address and address < symbol("kaa_rodata_start")


def readable(frame: u64) -> bool:
    """Could this be a frame on a kernel stack or in the image's data? Anything else would fault."""
    if frame & 7 != 0:
        return False
    if frame >= symbol("kaa_data_start") and frame < symbol("kaa_image_end"):
        return True
    return machine.paging.STACK_AREA <= frame and frame < machine.paging.DEVICE_AREA


def return_address(frame: u64) -> u64:
    """Where the function of a readable frame goes back to: [rbp + 8]."""
    return Ptr[u64](frame)[1]


def caller(frame: u64) -> u64:
    """The frame of the caller: [rbp]."""
    return Ptr[u64](frame)[0]
