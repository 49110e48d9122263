# SPDX-License-Identifier: Apache-2.0
"""Finding ACPI's tables: root pointer (ACPI 6.5, 5.2.5), then the XSDT's or RSDT's list."""

from __future__ import annotations

from kaa.kernel.arch.x86_64.window import firmware_bytes
from kaa.lang import Bytes, u32, u64, usize

HEADER_SIZE = 36
LARGEST = 1 << 20
BIOS_START, BIOS_END = 0xE0000, 0x100000


def read32(table: Bytes, offset: usize) -> u32:
    """A little-endian word; 0 past the table's end."""
    if offset + 4 > len(table):
        return u32(0)
    low = u32(table[offset]) | u32(table[offset + 1]) << 8
    return low | u32(table[offset + 2]) << 16 | u32(table[offset + 3]) << 24


def read64(table: Bytes, offset: usize) -> u64:
    """A little-endian double word; 0 past the table's end."""
    return u64(read32(table, offset)) | u64(read32(table, offset + 4)) << 32


def _sum(table: Bytes) -> u32:
    """Checksum: 0 for a sound table."""
    total: u32 = u32(0)
    for byte in table:
        total += byte
    return total & 0xFF


class Root:
    """Where the list of tables is, and how wide its entries are."""

    address: u64
    width: usize

    def __init__(self) -> None:
        self.address = u64(0)
        self.width = usize(4)


root = Root()


def initialise(rsdp: u64) -> bool:
    """Read the root pointer at `rsdp` (0: look for it in the BIOS area). False: no ACPI. Raises MemoryError."""
    if rsdp == 0:
        rsdp = _search()
    if rsdp == 0:
        return False
    pointer = firmware_bytes(rsdp, 36)
    if not pointer.startswith(b"RSD PTR ") or _sum(pointer[0:20]) != 0:
        return False
    root.address = u64(read32(pointer, 16))
    if pointer[15] >= 2 and read64(pointer, 24) != 0:
        root.address = read64(pointer, 24)
        root.width = usize(8)
    return root.address != 0


def _search() -> u64:
    """The root pointer stands on a 16-byte boundary of the BIOS area."""
    area = firmware_bytes(BIOS_START, BIOS_END - BIOS_START)
    for at in range(0, BIOS_END - BIOS_START, 16):
        if area[at] == 82 and area[at : at + 8] == b"RSD PTR ":
            return u64(BIOS_START + at)
    return u64(0)


def table_at(physical: u64) -> Bytes:
    """The whole table at an address; empty if it is not sound. Raises MemoryError."""
    header = firmware_bytes(physical, HEADER_SIZE)
    length = read32(header, 4)
    if length < HEADER_SIZE or length > LARGEST:
        return header[0:0]
    table = firmware_bytes(physical, usize(length))
    return table if _sum(table) == 0 else table[0:0]


def find(signature: Bytes) -> Bytes:
    """The first sound table with this signature; empty if there is none. Raises MemoryError."""
    index = table_at(root.address)
    at: usize = usize(HEADER_SIZE)
    while at + root.width <= len(index):
        address = read64(index, at) if root.width == 8 else u64(read32(index, at))
        if address != 0 and firmware_bytes(address, 4) == signature:
            return table_at(address)
        at += root.width
    return index[0:0]
