# SPDX-License-Identifier: Apache-2.0
"""ELF-64 headers and the auxiliary vector: the System V ABI ("gABI" chapters 4 and 5), getauxval(3)."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

from kaa.lang import ZERO, Array, struct, u8, u16, u32, u64

MAGIC: Final = 0x464C_457F
CLASS_64: Final = 2
DATA_LITTLE: Final = 1
ET_EXEC: Final = 2
ET_DYN: Final = 3


class SegmentType(IntEnum):
    """p_type."""

    PT_LOAD = 1
    PT_DYNAMIC = 2
    PT_INTERP = 3
    PT_PHDR = 6
    PT_TLS = 7
    PT_GNU_STACK = 0x6474_E551


class SegmentFlag(IntFlag):
    """p_flags."""

    PF_X = 1
    PF_W = 2
    PF_R = 4


@struct
class ElfHeader:
    """Elf64_Ehdr, 64 bytes."""

    magic: u32 = 0
    kind: u8 = 0
    data: u8 = 0
    ident_version: u8 = 0
    abi: u8 = 0
    padding: Array[u8, 8] = ZERO
    type: u16 = 0
    machine: u16 = 0
    version: u32 = 0
    entry: u64 = 0
    program_headers: u64 = 0
    section_headers: u64 = 0
    flags: u32 = 0
    header_size: u16 = 0
    program_header_size: u16 = 0
    program_header_count: u16 = 0
    section_header_size: u16 = 0
    section_header_count: u16 = 0
    names: u16 = 0


@struct
class ProgramHeader:
    """Elf64_Phdr, 56 bytes."""

    type: u32 = 0
    flags: u32 = 0
    offset: u64 = 0
    address: u64 = 0
    physical: u64 = 0
    file_size: u64 = 0
    memory_size: u64 = 0
    align: u64 = 0


class Aux(IntEnum):
    """a_type."""

    AT_NULL = 0
    AT_PHDR = 3
    AT_PHENT = 4
    AT_PHNUM = 5
    AT_PAGESZ = 6
    AT_BASE = 7
    AT_FLAGS = 8
    AT_ENTRY = 9
    AT_UID = 11
    AT_EUID = 12
    AT_GID = 13
    AT_EGID = 14
    AT_PLATFORM = 15
    AT_HWCAP = 16
    AT_CLKTCK = 17
    AT_SECURE = 23
    AT_RANDOM = 25
    AT_HWCAP2 = 26
    AT_RSEQ_FEATURE_SIZE = 27
    AT_RSEQ_ALIGN = 28
    AT_EXECFN = 31
    AT_SYSINFO_EHDR = 33
    AT_MINSIGSTKSZ = 51
