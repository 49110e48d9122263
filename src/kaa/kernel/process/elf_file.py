# SPDX-License-Identifier: Apache-2.0
"""Reading an ELF file's headers, believing nothing they say.

Every number is checked before it is used: sizes against what is there, sums against overflow, addresses against the
end of user memory. What passes here can be mapped without another look.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.elf import (
    CLASS_64,
    DATA_LITTLE,
    ET_DYN,
    ET_EXEC,
    MAGIC,
    ElfHeader,
    ProgramHeader,
    SegmentFlag,
    SegmentType,
)
from kaa.kernel.arch import machine
from kaa.kernel.lib.c_string import until_nul
from kaa.kernel.mm.user import kernel_buffer
from kaa.lang import Array, Slice, as_bytes, u8, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File

MAXIMUM_HEADERS: Final = 40
USER_END: Final = 0x7FFF_FFFF_F000
PAGE_SIZE: Final = 4096
LONGEST_INTERPRETER: Final = 4096


def read_exact(file: File, offset: u64, into: Slice[u8]) -> None:
    """Fill `into` from the file. Raises OSError(ENOEXEC) when the file ends before."""
    buf = kernel_buffer(into)
    at = offset
    while buf.remaining() > 0:
        n = file.read_at(buf, at)
        if n == 0:
            raise OSError(errno.ENOEXEC)
        at += n


class ElfFile:
    """A file that claims to be an ELF program or interpreter, with its checked headers."""

    file: File
    header: ElfHeader
    segments: Array[ProgramHeader, 40]
    count: u32
    # Of all PT_LOAD segments, page-aligned.
    lowest: u64
    highest: u64
    # Index of PT_INTERP; `count` when there is none.
    interpreter: u32
    executable_stack: bool
    # AT_PHDR as an address of the file's own numbering; 0 when no segment holds the headers.
    headers_address: u64

    def __init__(self, file: File) -> None:
        self.file = file
        self.header = ElfHeader()
        self.segments = Array[ProgramHeader, 40]()
        self.count = 0
        self.lowest = USER_END
        self.highest = 0
        self.interpreter = MAXIMUM_HEADERS
        self.executable_stack = False
        self.headers_address = 0

    def read(self, header: Slice[u8]) -> None:
        """Check the ELF header in `header` (the file's first bytes) and read the program headers. Raises
        OSError(ENOEXEC…)."""
        as_bytes(self.header).copy_from(header[0:64])
        self._check_header()
        count = u32(self.header.program_header_count)
        size = usize(count) * 56
        read_exact(self.file, self.header.program_headers, as_bytes(self.segments)[0:size])
        self.count = count
        for index in range(count):
            self._check_segment(index)
        if self.highest == 0:
            raise OSError(errno.ENOEXEC)

    def _check_header(self) -> None:
        header = self.header
        good = (
            header.magic == MAGIC
            and header.kind == CLASS_64
            and header.data == DATA_LITTLE
            and header.machine == machine.elf.MACHINE
            and header.type in (ET_EXEC, ET_DYN)
            and header.program_header_size == 56
            and 1 <= header.program_header_count <= MAXIMUM_HEADERS
            and header.program_headers < (1 << 62)
        )
        if not good:
            raise OSError(errno.ENOEXEC)

    def _check_segment(self, index: u32) -> None:
        segment = self.segments[index]
        match segment.type:
            case SegmentType.PT_LOAD:
                if segment.memory_size != 0:
                    self._check_load(segment)
            case SegmentType.PT_INTERP:
                if self.interpreter == MAXIMUM_HEADERS:
                    self.interpreter = index
            case SegmentType.PT_GNU_STACK:
                self.executable_stack = (segment.flags & SegmentFlag.PF_X) != 0
            case _:
                pass

    def _check_load(self, segment: ProgramHeader) -> None:
        good = (
            segment.file_size <= segment.memory_size
            and segment.address < USER_END
            and segment.memory_size < USER_END
            and segment.address + segment.memory_size <= USER_END
            and segment.offset < (1 << 62)
            and (segment.address & 0xFFF) == (segment.offset & 0xFFF)
            and (segment.align & (max(segment.align, 1) - 1)) == 0
        )
        if not good:
            raise OSError(errno.ENOEXEC)
        self.lowest = min(self.lowest, segment.address & 0xFFFF_FFFF_FFFF_F000)
        self.highest = max(self.highest, (segment.address + segment.memory_size + 0xFFF) & 0xFFFF_FFFF_FFFF_F000)
        table = self.header.program_headers
        if segment.offset <= table and table - segment.offset < segment.file_size:
            self.headers_address = segment.address + (table - segment.offset)

    def is_movable(self) -> bool:
        """Whether it may be loaded anywhere (ET_DYN)."""
        return self.header.type == ET_DYN

    def alignment(self) -> u64:
        """The largest alignment that a segment asks for, at least a page, at most 2 MiB (huge pages bring nothing
        here)."""
        largest: u64 = PAGE_SIZE
        for index in range(self.count):
            segment = self.segments[index]
            if segment.type == SegmentType.PT_LOAD:
                largest = max(largest, min(segment.align, u64(1 << 21)))
        return largest

    def interpreter_path(self) -> bytes | None:
        """PT_INTERP's string, None when there is no such segment. Raises OSError(ENOEXEC) when it is malformed."""
        if self.interpreter >= self.count:
            return None
        segment = self.segments[self.interpreter]
        size = segment.file_size
        if size < 2 or size > LONGEST_INTERPRETER or segment.offset >= (1 << 62):
            raise OSError(errno.ENOEXEC)
        text = NameBuffer()
        read_exact(self.file, segment.offset, text.data[0 : usize(size)])
        if text.data[usize(size) - 1] != 0:
            raise OSError(errno.ENOEXEC)
        return bytes(until_nul(text.data[0 : usize(size)]))


class NameBuffer:
    """Room for a path name."""

    data: Array[u8, 4096]

    def __init__(self) -> None:
        self.data = Array[u8, 4096]()
