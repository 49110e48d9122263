# SPDX-License-Identifier: Apache-2.0
"""The entries of an address space's page table: taking them out, changing their rights, and what that means for the
frames.

Every entry holds one reference to its frame, but for the zero page and for frames that are no memory. An entry without
the present bit is a page that its area forbids to touch (PROT_NONE); it keeps its frame. The counts of resident pages
follow the entries, under `table_lock`. Entries are changed and the TLB is flushed before that lock is given back, so
that nobody can use a frame through an old translation once it is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.mm import frame
from kaa.kernel.mm.frame import CACHED, PAGE_SHIFT, PAGE_SIZE
from kaa.lang import inline, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace

BATCH: Final = 2048
"""Entries per hold of the lock: preemption is off for as long."""
NOT_PRESENT: Final = 0xFFFF_FFFF_FFFF_FFFF - machine.paging.PRESENT


class ZeroPage:
    """The frame that all reads of untouched anonymous memory see. Never counted, never freed, never writable."""

    pfn: u64 = 0

    def number(self) -> u64:
        """Its frame; made at first use. Raises MemoryError."""
        if self.pfn == 0:
            from kaa.kernel.mm import buddy

            self.pfn = buddy.allocate_zeroed()
        return self.pfn


zero_page = ZeroPage()


@inline
def is_counted(pfn: u64) -> bool:
    """Whether an entry holds a reference to this frame."""
    return pfn != zero_page.pfn and pfn < frame.frames.limit


@inline
def flush(space: AddressSpace, start: u64, end: u64) -> None:
    """Forget translations of [start, end), if the processor uses this address space. Others learn by loading its
    root."""
    if space.is_active():
        if end - start <= PAGE_SIZE:
            machine.paging.flush_page(start)
        else:
            machine.paging.flush_all()


def unmap(space: AddressSpace, start: u64, end: u64) -> None:
    """Take all entries of [start, end) out and give their frames up."""
    first = start
    while first < end:
        with space.table_lock:
            stop = _take_out(space, first, end)
            flush(space, first, stop)
        first = stop


def _take_out(space: AddressSpace, start: u64, end: u64) -> u64:
    """At most BATCH entries; where it stopped."""
    anonymous: u64 = 0
    cached: u64 = 0
    others: u64 = 0
    stop = end
    for va, entry in space.page_table.take_range(start, end):
        pfn = machine.paging.entry_pfn(entry)
        if is_counted(pfn):
            if frame.test_flags(pfn, CACHED):
                cached += 1
            else:
                anonymous += 1
            frame.put_page(pfn)
        else:
            others += 1
        if anonymous + cached + others == BATCH:
            stop = va + PAGE_SIZE
            break
    space.peak_resident = max(space.peak_resident, space.file_pages + space.anonymous_pages)
    space.file_pages -= min(cached, space.file_pages)
    space.anonymous_pages -= min(anonymous, space.anonymous_pages)
    return stop


def protect(space: AddressSpace, start: u64, end: u64, accessible: bool, executable: bool) -> None:
    """New rights for the pages in [start, end). None becomes writable here: a write faults, and the fault knows whether
    the page is to be copied, marked dirty or simply opened."""
    with space.table_lock:
        changed = False
        for va, entry in space.page_table.entries(start, end):
            pfn = machine.paging.entry_pfn(entry)
            fresh = machine.paging.make_entry(pfn, False, executable, True)
            if not accessible:
                fresh = fresh & NOT_PRESENT
            space.page_table.set_entry(va, fresh)
            changed = True
        if changed:
            flush(space, start, end)


def write_protect(space: AddressSpace, va: u64) -> None:
    """Let the next write to one page fault."""
    with space.table_lock:
        entry = space.page_table.get(va)
        if entry != 0 and machine.paging.entry_writable(entry):
            space.page_table.set_entry(va, machine.paging.without_write(entry))
            flush(space, va, va + PAGE_SIZE)


def move(space: AddressSpace, source: u64, target: u64, length: u64) -> None:
    """Move the entries of `length` bytes elsewhere. Raises MemoryError; what was moved by then is moved back."""
    done: u64 = 0
    try:
        while done < length:
            _move_one(space, source + done, target + done)
            done += PAGE_SIZE
    except MemoryError:
        while done > 0:
            done -= PAGE_SIZE
            _move_one(space, target + done, source + done)
        raise


def _move_one(space: AddressSpace, source: u64, target: u64) -> None:
    with space.table_lock:
        if space.page_table.get(source) != 0:
            space.page_table.reserve(target)
            space.page_table.set_entry(target, space.page_table.clear(source))
            flush(space, source, source + PAGE_SIZE)


def count_resident(space: AddressSpace, start: u64, end: u64) -> u64:
    """Pages of [start, end) that have an entry: smaps."""
    total: u64 = 0
    with space.table_lock:
        for _, entry in space.page_table.entries(start, end):
            if entry != 0:
                total += 1
    return total


def page_number(address: u64) -> u64:
    """The page that an address lies in."""
    return address >> PAGE_SHIFT
