# SPDX-License-Identifier: Apache-2.0
"""Page frames: one 32-byte descriptor for each 4 KiB of memory, in a table sized by the machine's RAM.

A frame number (pfn) is a physical address divided by the page size. Frame 0 is never given out, so 0 means "none"
wherever a pfn is stored. A descriptor's `next` and `previous` are pfns too: free lists, slab lists and the page cache's
list of reclaimable pages are threaded through the table and need no memory of their own.

`refcount` counts who may use the frame: each page-table entry that maps a private page, the page cache, a running
system call. It is changed atomically, by anyone who holds a reference or the lock under which a reference is known to
exist. The frame goes back to the allocator when the count drops to zero. All other fields belong to whoever the frame's
owner is (see there).

Entries that map a page of a page cache are not counted: processes that run the same program on many processors would
all write to the descriptors of its pages. Such a page is MAPPED, and whoever takes it out of its cache holds it until
it is in no page table (page_cache.py).

This module is the only place that turns a frame number into an address of its contents.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.arch import machine
from kaa.lang import ZERO, Atomic, Slice, borrowed, inline, struct, u8, u16, u32, u64
from kaa.lang.unsafe import Ptr, copy_bytes, zero

PAGE_SIZE: Final = 4096
PAGE_SHIFT: Final = 12
PAGE_MASK: Final = 0xFFFF_FFFF_FFFF_F000

# Page.flags
FREE: Final = 0x0001
"""Head of a free block: buddy.py."""
RESERVED: Final = 0x0002
"""Never was the allocator's: firmware, the kernel's image, holes."""
SLAB: Final = 0x0004
TABLE: Final = 0x0008
"""A page table of a user address space."""
CACHED: Final = 0x0010
"""In a page cache: `mapping` is the cache, `index` the page's place in the file."""
UPTODATE: Final = 0x0020
LOCKED: Final = 0x0040
DIRTY: Final = 0x0080
REFERENCED: Final = 0x0100
LISTED: Final = 0x0200
"""On the list of reclaimable pages."""
FAILED: Final = 0x0400
"""The last read of its contents failed."""
WRITEBACK: Final = 0x0800
MAPPED: Final = 0x1000
"""An address space may show this page of a cache. Set and cleared under the cache's lock."""
UNSEEN: Final = 0x2000
"""Nothing has been MAPPED anew since somebody began to look for what shows the page (trimming.py)."""
COPIED: Final = 0x4000
"""A private page that a write after a fork had to copy, or such a copy (copying.py)."""


@struct
class Page:
    """The descriptor of a frame; see the module."""

    refcount: Atomic[u32] = ZERO
    mapcount: u32 = ZERO
    """Objects in use (slab)."""
    flags: Atomic[u16] = ZERO
    order: u8 = ZERO
    slab: u8 = ZERO
    index: u32 = ZERO
    mapping: u64 = ZERO
    next: u32 = ZERO
    previous: u32 = ZERO


class Frames:
    """Where the table is. Set once at boot."""

    table: u64 = 0
    """Address of frame 0's descriptor."""
    limit: u64 = 0
    """Frames below this have a descriptor."""


frames = Frames()

DESCRIPTOR_SIZE: Final = 32


@inline
@borrowed
def page(pfn: u64) -> Page:
    """The descriptor of a frame, in place."""
    return Ptr[Page](frames.table)[pfn]


def has_descriptor(pfn: u64) -> bool:
    """Whether the frame is memory (or lies between): not a device's registers."""
    return pfn < frames.limit


def install_table(address: u64, limit: u64) -> None:
    """Use the memory at `address` (of the direct map) as the table for frames below `limit`; all start reserved."""
    zero(address, limit * DESCRIPTOR_SIZE)
    frames.table = address
    frames.limit = limit


@inline
def address(pfn: u64) -> u64:
    """Where the kernel sees the frame's contents."""
    return machine.paging.direct_map(pfn << PAGE_SHIFT)


@inline
def pfn_at(where: u64) -> u64:
    """The frame that a direct-map address lies in."""
    return machine.paging.physical(where) >> PAGE_SHIFT


@inline
def contents(pfn: u64) -> Slice[u8]:
    """The 4096 bytes of a frame. The caller holds a reference for as long as it uses the view."""
    return Ptr[u8](address(pfn)).slice(PAGE_SIZE)


def block(pfn: u64, pages: u64) -> Slice[u8]:
    """The bytes of `pages` frames in a row."""
    return Ptr[u8](address(pfn)).slice(pages << PAGE_SHIFT)


def clear(pfn: u64) -> None:
    """Fill a frame with zeroes."""
    zero(address(pfn), PAGE_SIZE)


def copy_contents(to: u64, source: u64) -> None:
    """Copy one frame's bytes to another."""
    copy_bytes(address(to), address(source), PAGE_SIZE)


@inline
def get_page(pfn: u64) -> None:
    """Take one more reference; the caller has one, or the lock under which one is known to exist."""
    page(pfn).refcount.fetch_add(1)


@inline
def drop_reference(pfn: u64) -> bool:
    """Give back a reference; True if it was the last: the caller now frees the frame."""
    return page(pfn).refcount.fetch_sub(1) == 1


@inline
def put_page(pfn: u64) -> None:
    """Give back a reference; frees the frame with the last one."""
    if drop_reference(pfn):
        buddy.free_page(pfn)


@inline
def refcount(pfn: u64) -> u32:
    """References to a frame, as of now."""
    return page(pfn).refcount.load_relaxed()


@inline
def test_flags(pfn: u64, flags: u16) -> bool:
    """Whether any of the flags is set."""
    return page(pfn).flags.load_relaxed() & flags != 0


@inline
def which_flags(pfn: u64, of: u16) -> u16:
    """Which of some flags are set."""
    return page(pfn).flags.load_relaxed() & of


@inline
def set_flags(pfn: u64, flags: u16) -> None:
    """Set flags, atomically: others may change other flags meanwhile."""
    page(pfn).flags.fetch_or(flags)


@inline
def clear_flags(pfn: u64, flags: u16) -> None:
    """Clear flags, atomically."""
    page(pfn).flags.fetch_and(0xFFFF - flags)


from kaa.kernel.mm import buddy  # noqa: E402  (buddy is built on frames; put_page returns frames to it)
