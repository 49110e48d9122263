# SPDX-License-Identifier: Apache-2.0
"""Page-table entries and the kernel's own address space: four levels of 512 entries (Intel SDM 3 chapter 4).

Layout: user below USER_END; all RAM at DIRECT_MAP; kernel stacks at 0xffffc90000000000, device registers at
0xffffc94000000000, mm's mappings (map_kernel) at 0xffffc98000000000, all under one root entry; the image at
0xffffffff80000000. Every root shares the kernel's upper half: its root entries are made once at boot (kernel_map.py)
and never change. Entries of the kernel are global, writable or executable but never both.
The tables of user address spaces are in page_table.py.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.arch.x86_64 import instructions
from kaa.kernel.arch.x86_64.page_table import PageTable
from kaa.kernel.arch.x86_64.tlb import shoot_down, shoot_down_kernel
from kaa.kernel.locking.spinlock import LeafLock
from kaa.lang import Atomic, u64, usize
from kaa.lang.unsafe import Ptr

PAGE_SHIFT = 12
PAGE_SIZE = 4096
USER_END = 0x0000_7FFF_FFFF_F000
DIRECT_MAP = 0xFFFF_8880_0000_0000
STACK_AREA = 0xFFFF_C900_0000_0000
DEVICE_AREA = 0xFFFF_C940_0000_0000
MAPPING_AREA = 0xFFFF_C980_0000_0000
IMAGE_BASE = 0xFFFF_FFFF_8000_0000

PRESENT = 1 << 0
WRITE = 1 << 1
USER = 1 << 2
WRITE_THROUGH = 1 << 3
CACHE_DISABLE = 1 << 4
ACCESSED = 1 << 5
DIRTY = 1 << 6
LARGE = 1 << 7
GLOBAL = 1 << 8
SOFTWARE = 1 << 9
"""Ignored by the processor: mm's own (Intel SDM 3 table 4-20)."""
NO_EXECUTE = 1 << 63
ADDRESS = 0x000F_FFFF_FFFF_F000
EVERYTHING = 0xFFFF_FFFF_FFFF_FFFF

__all__ = ["PageTable", "shoot_down", "shoot_down_kernel"]


def direct_map(physical_address: u64) -> u64:
    """Where the kernel sees the physical address. (Physical addresses stay below 512 GiB, where the base's bits
    begin.)"""
    return physical_address | DIRECT_MAP


def physical(direct: u64) -> u64:
    """Physical address of an address in the direct map."""
    return direct & 0x7F_FFFF_FFFF


def image_physical(address: u64) -> u64:
    """Physical address of something in the kernel's image."""
    return address & 0x7FFF_FFFF


def entry_present(entry: u64) -> bool:
    """Is there a page?"""
    return entry & PRESENT != 0


def entry_pfn(entry: u64) -> u64:
    """The page's frame number."""
    return (entry & ADDRESS) >> PAGE_SHIFT


def entry_writable(entry: u64) -> bool:
    """May it be written?"""
    return entry & WRITE != 0


def entry_executable(entry: u64) -> bool:
    """May it be executed?"""
    return entry & NO_EXECUTE == 0


def entry_user(entry: u64) -> bool:
    """May user mode use it?"""
    return entry & USER != 0


def entry_dirty(entry: u64) -> bool:
    """Was it written through this entry?"""
    return entry & DIRTY != 0


def entry_accessed(entry: u64) -> bool:
    """Was it used through this entry?"""
    return entry & ACCESSED != 0


def with_write(entry: u64) -> u64:
    """The entry, writable (and dirty: it is about to be written)."""
    return entry | (WRITE | DIRTY)


def without_write(entry: u64) -> u64:
    """The entry, read-only."""
    return entry & (EVERYTHING - WRITE)


def without_dirty(entry: u64) -> u64:
    """The entry, clean."""
    return entry & (EVERYTHING - DIRTY)


def without_accessed(entry: u64) -> u64:
    """The entry, not accessed."""
    return entry & (EVERYTHING - ACCESSED)


def make_entry(pfn: u64, writable: bool, executable: bool, user: bool) -> u64:
    """An entry for a page. Accessed is set already: it is made because someone touches the page."""
    entry = pfn << PAGE_SHIFT | (PRESENT | ACCESSED)
    if writable:
        entry |= WRITE
    if not executable:
        entry |= NO_EXECUTE
    return entry | (USER if user else GLOBAL)


def flush_page(address: u64) -> None:
    """Forget the translation of one page on this processor."""
    instructions.invalidate_page(address)


def flush_all() -> None:
    """Forget all translations of user pages on this processor."""
    instructions.write_cr3(instructions.read_cr3())


class KernelMap:
    """The kernel's own tables, and how much of the device area is used. Tables are made under `lock` and never freed;
    an entry is its owner's, who has the address."""

    lock: Final[LeafLock]
    root: u64
    device_next: Atomic[u64]

    def __init__(self) -> None:
        self.lock = LeafLock("kernel map")
        self.root = u64(0)
        self.device_next = Atomic(DEVICE_AREA)


kernel = KernelMap()


def _descend(table: Ptr[u64], index: u64) -> Ptr[u64]:
    """The table below `table[index]`, made when missing. Raises MemoryError."""
    entry = table[index]
    if entry & PRESENT == 0:
        entry = _add_table(table, index)
    return Ptr[u64](direct_map(entry & ADDRESS))


def _add_table(table: Ptr[u64], index: u64) -> u64:
    """The entry of a fresh table, or of one that somebody else has put there meanwhile. Raises MemoryError."""
    from kaa.kernel.mm import buddy

    fresh = buddy.allocate_zeroed()
    kernel.lock.acquire()
    entry = table[index]
    unwanted = entry & PRESENT != 0
    if not unwanted:
        entry = fresh << PAGE_SHIFT | (PRESENT | WRITE | ACCESSED)
        table[index] = entry
    kernel.lock.release()
    if unwanted:
        buddy.free_pages(fresh, 0)
    return entry


def kernel_slot(address: u64) -> Ptr[u64]:
    """The last-level entry for a kernel address outside the direct map and the image. Raises MemoryError."""
    table = Ptr[u64](direct_map(kernel.root))
    table = _descend(table, (address >> 39) & 511)
    table = _descend(table, (address >> 30) & 511)
    table = _descend(table, (address >> 21) & 511)
    return table + ((address >> 12) & 511)


def map_kernel(address: u64, pfn: u64) -> None:
    """Map a page at a kernel address, writable, not executable. Raises MemoryError."""
    slot = kernel_slot(address)
    slot[0] = pfn << PAGE_SHIFT | (PRESENT | ACCESSED | DIRTY | WRITE | GLOBAL | NO_EXECUTE)


def unmap_kernel(address: u64) -> u64:
    """Unmap the page at a kernel address; gives its frame number. Other processors may still use the translation: the
    address is not mapped again before shoot_down_kernel()."""
    table = Ptr[u64](direct_map(kernel.root))
    shift: u64 = u64(39)
    while shift > PAGE_SHIFT:
        table = Ptr[u64](direct_map(table[(address >> shift) & 511] & ADDRESS))
        shift -= 9
    slot = table + ((address >> PAGE_SHIFT) & 511)
    entry = slot[0]
    assert entry & PRESENT != 0
    slot[0] = 0
    flush_page(address)
    return entry_pfn(entry)


def map_device(physical_address: u64, size: usize) -> u64:
    """Map device registers, uncached, for ever; gives the address of `physical_address`. Raises MemoryError."""
    offset = physical_address & (PAGE_SIZE - 1)
    pages = (offset + size + (PAGE_SIZE - 1)) >> PAGE_SHIFT
    base = kernel.device_next.fetch_add(pages << PAGE_SHIFT)
    frame = physical_address - offset
    flags: u64 = u64(PRESENT | WRITE | GLOBAL | NO_EXECUTE | CACHE_DISABLE | WRITE_THROUGH | ACCESSED | DIRTY)
    for index in range(pages):
        slot = kernel_slot(base + (index << PAGE_SHIFT))
        slot[0] = (frame + (index << PAGE_SHIFT)) | flags
    return base + offset
