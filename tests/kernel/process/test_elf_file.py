# SPDX-License-Identifier: Apache-2.0
"""ELF headers: what is refused, and that no mutation does harm."""

from __future__ import annotations

import random
import struct

import pytest

from kaa.kernel.fs.file import File
from kaa.kernel.mm.user import UserBuf
from kaa.kernel.process.elf_file import USER_END, ElfFile
from kaa.lang import Array, u8


class BytesFile(File):
    """A file in the test's memory."""

    def __init__(self, data: bytes) -> None:
        super().__init__(None, 0)
        self.data = data

    def read_at(self, buf: UserBuf, offset: int) -> int:
        part = self.data[offset : offset + buf.remaining()]
        if part:
            buf.copy_out(part)
        return len(part)


def segment(kind: int, flags: int, offset: int, address: int, filesz: int, memsz: int, align: int = 4096) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, filesz, memsz, align)


def image(*segments: bytes, machine: int = 62, kind: int = 2, phentsize: int = 56, phoff: int = 64) -> bytes:
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    counts = (64, phentsize, len(segments), 0, 0, 0)
    header = struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0x401000, phoff, 0, 0, *counts)
    return (ident + header + b"".join(segments)).ljust(8192, b"\0")


def read(data: bytes) -> ElfFile:
    elf = ElfFile(BytesFile(data))
    head = Array[u8, 64]()
    head[:].copy_from(data[:64])
    elf.read(head[:])
    return elf


GOOD = (segment(6, 4, 64, 0x400040, 112, 112), segment(1, 5, 0, 0x400000, 0x2000, 0x3000))


def test_the_extent_and_the_headers_place_are_found() -> None:
    elf = read(image(*GOOD))
    assert (elf.lowest, elf.highest) == (0x400000, 0x403000)
    assert elf.headers_address == 0x400040
    assert elf.interpreter_path() is None


@pytest.mark.parametrize(
    "data",
    [
        image(*GOOD, machine=183),
        image(*GOOD, kind=1),
        image(*GOOD, phentsize=32),
        image(*GOOD, phoff=1 << 63),
        image(*GOOD, phoff=9000),
        image(segment(4, 4, 0, 0, 0, 0)),
        image(segment(1, 5, 0, 0x400000, 0x3000, 0x2000)),
        image(segment(1, 5, 1, 0x400000, 1, 1)),
        image(segment(1, 5, 0, USER_END - 4096, 0, 8192)),
        image(segment(1, 5, 0, (1 << 64) - 4096, 0, 8192)),
        image(segment(1, 5, 0, 0x400000, 0, (1 << 64) - 1)),
        image(segment(1, 5, 0, 0x400000, 1, 1, align=3)),
        image(),
    ],
)
def test_a_malformed_file_is_no_program(data: bytes) -> None:
    with pytest.raises(OSError) as caught:
        read(data)
    assert caught.value.errno == 8


def test_an_interpreter_must_be_a_terminated_string() -> None:
    data = bytearray(image(segment(3, 4, 4096, 0, 8, 8), *GOOD))
    data[4096:4104] = b"/ld.so\0\0"
    assert read(bytes(data)).interpreter_path() == b"/ld.so"
    data[4096:4104] = b"/ld.so.2"
    with pytest.raises(OSError):
        read(bytes(data)).interpreter_path()


def test_a_thousand_mutations_are_read_or_refused() -> None:
    source = random.Random(1)
    good = image(segment(3, 4, 4096, 0, 8, 8), *GOOD)
    for _ in range(1000):
        data = bytearray(good)
        for _ in range(source.randint(1, 6)):
            data[source.randrange(64 + 56 * 3)] = source.choice((0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)))
        try:
            elf = read(bytes(data))
            elf.interpreter_path()
            assert elf.lowest < elf.highest <= USER_END
            assert 4096 <= elf.alignment() <= 1 << 21
        except OSError as error:
            assert error.errno == 8
