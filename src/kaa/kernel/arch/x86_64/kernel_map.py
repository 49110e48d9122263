# SPDX-License-Identifier: Apache-2.0
"""The final kernel mappings, made from boot.py's: all RAM at the direct map, the image W^X, nothing at address 0.

The frames of the image are mapped twice, in the image's area and in the direct map, by the same last-level tables: text
is read-only and executable, constants read-only, data and all else writable and not executable, in both. RAM is mapped
by 2 MiB pages, or 1 GiB ones where the processor has them and the range allows.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import cpu, instructions, paging, percpu
from kaa.kernel.arch.x86_64.paging import ACCESSED, ADDRESS, DIRTY, GLOBAL, LARGE, NO_EXECUTE, PRESENT, WRITE
from kaa.kernel.mm import boot_memory
from kaa.lang import u64
from kaa.lang.unsafe import Ptr, symbol, zero

TWO_MEGABYTES = 1 << 21
GIGABYTE = 1 << 30
TABLE = PRESENT | WRITE | ACCESSED | DIRTY
DATA = PRESENT | WRITE | ACCESSED | DIRTY | GLOBAL | NO_EXECUTE
TEXT = PRESENT | ACCESSED | DIRTY | GLOBAL
CONSTANTS = PRESENT | ACCESSED | DIRTY | GLOBAL | NO_EXECUTE
FIRST_MAPPED = GIGABYTE
"""What boot.py mapped already."""


def _table_at(entry: u64) -> Ptr[u64]:
    return Ptr[u64](paging.direct_map(entry & ADDRESS))


def _take_table() -> u64:
    """An empty table in memory that is mapped already: its physical address."""
    table = boot_memory.take(4096, FIRST_MAPPED)
    assert table != 0, "no memory for page tables"
    zero(paging.direct_map(table), 4096)
    return table


def _below(table: Ptr[u64], index: u64) -> Ptr[u64]:
    """The table below `table[index]`, made when missing."""
    if table[index] == 0:
        table[index] = _take_table() | TABLE
    return _table_at(table[index])


def _map_ram(start: u64, end: u64) -> None:
    """Map the range, grown to 2 MiB, in the direct map."""
    root = Ptr[u64](symbol("kaa_early_root"))
    at = start & (paging.EVERYTHING - (TWO_MEGABYTES - 1))
    while at < end:
        virtual = paging.direct_map(at)
        pointers = _below(root, (virtual >> 39) & 511)
        slot = (virtual >> 30) & 511
        if cpu.features.gigabyte_pages and at & (GIGABYTE - 1) == 0 and at + GIGABYTE <= end and pointers[slot] == 0:
            pointers[slot] = at | DATA | LARGE
            at += GIGABYTE
        elif pointers[slot] & LARGE != 0:
            at += TWO_MEGABYTES
        else:
            _below(pointers, slot)[(virtual >> 21) & 511] = at | DATA | LARGE
            at += TWO_MEGABYTES


def _rights(address: u64) -> u64:
    """What the page of the image at `address` allows."""
    if address >= symbol("kaa_data_start") or address < symbol("kaa_text_start"):
        return u64(DATA)
    if address >= symbol("kaa_rodata_start"):
        return u64(CONSTANTS)
    return u64(TEXT)


def _map_image(directory: Ptr[u64]) -> None:
    """Split the large pages that hold text and constants; the directory is the direct map's and the image's."""
    at: u64 = symbol("kaa_text_start") & (paging.EVERYTHING - (TWO_MEGABYTES - 1))
    while at < symbol("kaa_data_start"):
        table = _take_table()
        entries = Ptr[u64](paging.direct_map(table))
        for index in range(512):
            page = at + (u64(index) << 12)
            entries[index] = paging.image_physical(page) | _rights(page)
        directory[paging.image_physical(at) >> 21] = table | TABLE
        at += TWO_MEGABYTES


def _restrict(directory: Ptr[u64], ram_end: u64) -> None:
    """Take from boot.py's large pages the right to execute, and those away that are no RAM. The image's are left to
    _map_image: this code runs from them."""
    first = paging.image_physical(symbol("kaa_text_start")) >> 21
    last = (paging.image_physical(symbol("kaa_data_start")) - 1) >> 21
    for index in range(512):
        slot = u64(index)
        if slot < first or slot > last:
            directory[slot] = slot << 21 | DATA | LARGE if slot << 21 < ram_end else u64(0)


def build(ram_end: u64, initrd: u64, initrd_end: u64) -> None:
    """Replace boot.py's mappings by the final ones, and load them. mm.boot_memory knows all RAM below `ram_end` but
    what is reserved: the initrd."""
    directory = Ptr[u64](symbol("kaa_early_directory"))
    early = symbol("kaa_early_root")
    _restrict(directory, ram_end)
    _map_image(directory)
    for at in range(boot_memory.usable.count):
        if boot_memory.usable.ends[at] > FIRST_MAPPED:
            _map_ram(max(boot_memory.usable.starts[at], FIRST_MAPPED), boot_memory.usable.ends[at])
    if initrd_end > FIRST_MAPPED:
        _map_ram(initrd, initrd_end)
    root = Ptr[u64](early)
    stacks = (paging.STACK_AREA >> 39) & 511
    root[stacks] = _take_table() | TABLE
    root[0] = 0
    paging.kernel.root = paging.image_physical(early)
    percpu.local().active_root = paging.kernel.root
    instructions.write_cr3(paging.kernel.root)
