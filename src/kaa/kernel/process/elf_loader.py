# SPDX-License-Identifier: Apache-2.0
"""Mapping checked ELF files into a new address space (`elf_file` did the checking).

The address space is the caller's already, so that what a mapping cannot say (zeroes after the file's part of a page) is
written through it. Whatever is raised here, execve(2) goes back to the old address space.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.elf import ProgramHeader, SegmentFlag, SegmentType
from kaa.kernel.abi.mman import MapFlag, Prot
from kaa.kernel.mm.user import UserBuf
from kaa.kernel.process.elf_file import USER_END, ElfFile
from kaa.lang import u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace

PAGE_MASK: Final = 0xFFF
NOT_PAGE_MASK: Final = 0xFFFF_FFFF_FFFF_F000
ANYWHERE: Final = 0
FIXED_ANONYMOUS: Final = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED


def load(mm: AddressSpace, elf: ElfFile, hint: u64) -> u64:
    """Map every PT_LOAD; gives the bias: what to add to the file's addresses. A movable file goes to `hint`, or where
    mm likes (ANYWHERE). Raises OSError, MemoryError."""
    bias = _choose_bias(mm, elf, hint)
    for index in range(elf.count):
        segment = elf.segments[index]
        if segment.type == SegmentType.PT_LOAD and segment.memory_size != 0:
            _map_segment(mm, elf, segment, bias)
    return bias


def _choose_bias(mm: AddressSpace, elf: ElfFile, hint: u64) -> u64:
    if not elf.is_movable():
        return u64(0)
    size = elf.highest - elf.lowest
    align = elf.alignment()
    start = hint
    if hint == ANYWHERE:
        start = mm.find_gap(size + align - (PAGE_MASK + 1))
    start = (start + align - 1) & ~(align - 1)
    if start >= USER_END or size > USER_END - start or start < elf.lowest:
        raise MemoryError
    return start - elf.lowest


def _map_segment(mm: AddressSpace, elf: ElfFile, segment: ProgramHeader, bias: u64) -> None:
    start = segment.address + bias
    file_end = start + segment.file_size
    memory_end = start + segment.memory_size
    if start >= USER_END or memory_end > USER_END:
        raise MemoryError
    prot = _protection(segment.flags)
    page = start & NOT_PAGE_MASK
    mapped_end = (file_end + PAGE_MASK) & NOT_PAGE_MASK
    if segment.file_size != 0:
        offset = segment.offset - (segment.address & PAGE_MASK)
        flags = MapFlag.PRIVATE | MapFlag.FIXED
        mm.map(page, mapped_end - page, u64(prot), u64(flags), elf.file, offset)
    else:
        mapped_end = page
    memory_pages_end = (memory_end + PAGE_MASK) & NOT_PAGE_MASK
    if memory_pages_end > mapped_end:
        mm.map(mapped_end, memory_pages_end - mapped_end, u64(prot), u64(FIXED_ANONYMOUS), None, u64(0))
    if segment.file_size != 0 and memory_end > file_end:
        _clear_tail(file_end, min(mapped_end, memory_end), segment)


def _clear_tail(start: u64, end: u64, segment: ProgramHeader) -> None:
    """Zero from the end of the file's bytes to the end of their last page. A segment that is not writable has to live
    with what the file holds there."""
    if (segment.flags & SegmentFlag.PF_W) == 0 or end <= start:
        return
    length = usize(((start + PAGE_MASK) & NOT_PAGE_MASK) - start)
    UserBuf(start, length).clear(length)


def _protection(flags: u32) -> u32:
    prot: u32 = 0
    if (flags & SegmentFlag.PF_R) != 0:
        prot |= Prot.READ
    if (flags & SegmentFlag.PF_W) != 0:
        prot |= Prot.WRITE
    if (flags & SegmentFlag.PF_X) != 0:
        prot |= Prot.EXEC
    return prot


def break_start(elf: ElfFile, bias: u64) -> u64:
    """Where the heap of brk(2) may start: after the last segment. Raises OSError(ENOEXEC) when that is out of
    memory."""
    end = elf.highest + bias
    if end > USER_END:
        raise OSError(errno.ENOEXEC)
    return end
