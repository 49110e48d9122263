# SPDX-License-Identifier: Apache-2.0
"""The tables of Intel's MultiProcessor Specification 1.4 (chapter 4), which machines without ACPI have: QEMU's microvm.

A floating pointer structure ("_MP_", 16 bytes, on a 16-byte boundary) stands in the last KiB of base memory, in the
extended BIOS data area or in the BIOS area, and names the configuration table ("PCMP"), a header of 44 bytes and
entries. What is read here are its processors; I/O APIC and lines are where every PC has them. All of it lies below
1 MiB; lengths and checksums are checked.
"""

from __future__ import annotations

from kaa.kernel import log
from kaa.kernel.arch.x86_64 import processors
from kaa.kernel.arch.x86_64.window import base_memory
from kaa.lang import Bytes, u8, u32, u64, usize

BASE_END = 0xA_0000
BIOS_START = 0xF_0000
MEBIBYTE = 0x10_0000
KIBIBYTE = 1024
EBDA_SEGMENT = 0x40E
HEADER_SIZE = 44
PROCESSOR, PROCESSOR_SIZE, OTHER_SIZE = 0, 20, 8
LAST_KIND = 4
USABLE = 1


def sound(bytes_: Bytes) -> bool:
    """Do all bytes add up to 0?"""
    total: u8 = u8(0)
    for byte in bytes_:
        total = u8(u32(total) + u32(byte))
    return total == 0


def _word(table: Bytes, at: usize) -> u32:
    return u32(table[at]) | u32(table[at + 1]) << 8 | u32(table[at + 2]) << 16 | u32(table[at + 3]) << 24


def pointer_in(area: Bytes) -> u64:
    """Where the configuration table is, by the floating pointer in `area`; 0 if there is none."""
    at: usize = usize(0)
    while at + 16 <= len(area):
        if area[at] == 95 and area[at : at + 4] == b"_MP_" and sound(area[at : at + 16]):
            return u64(_word(area, at + 4))
        at += 16
    return u64(0)


def read_table(table: Bytes) -> None:
    """Name the processors of a configuration table that is all there."""
    at: usize = usize(HEADER_SIZE)
    while at < len(table):
        kind = table[at]
        size: usize = usize(PROCESSOR_SIZE) if kind == PROCESSOR else usize(OTHER_SIZE)
        if kind > LAST_KIND or at + size > len(table):
            return
        if kind == PROCESSOR and table[at + 3] & USABLE != 0:
            processors.add(u32(table[at + 1]))
        at += size


def _find() -> u64:
    found = pointer_in(base_memory(BASE_END - KIBIBYTE, KIBIBYTE))
    if found == 0:
        segment = base_memory(EBDA_SEGMENT, 2)
        extended = (u64(segment[0]) | u64(segment[1]) << 8) << 4
        if extended != 0 and extended <= BASE_END - KIBIBYTE:
            found = pointer_in(base_memory(extended, KIBIBYTE))
    if found == 0:
        found = pointer_in(base_memory(BIOS_START, MEBIBYTE - BIOS_START))
    return found


def read() -> None:
    """Name the machine's processors, if there is such a table."""
    address = _find()
    if address == 0 or address + HEADER_SIZE > MEBIBYTE:
        return
    header = base_memory(address, usize(HEADER_SIZE))
    length = usize(header[4]) | usize(header[5]) << 8
    if not header.startswith(b"PCMP") or length < HEADER_SIZE or address + length > MEBIBYTE:
        return
    table = base_memory(address, length)
    if sound(table):
        read_table(table)
    else:
        log.warn("the MultiProcessor table is damaged: one processor is used")
