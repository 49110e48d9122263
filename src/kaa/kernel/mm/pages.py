# SPDX-License-Identifier: Apache-2.0
"""The entries of an address space's page table: taking them out, changing their rights, and what that means for the
frames and for other processors.

An entry that shows a private page holds a reference to its frame; others hold none. FILE marks pages of a page cache,
which are looked for before they are freed (page_cache.py), LENT the zero page and frames of the kernel's, which are for
ever. An entry without the present bit is a page that its area forbids to touch (PROT_NONE). The counts of resident
pages follow the entries, under `table_lock`.

Under `table_lock`, always: entries lose rights or go, then all processors that may remember them forget them
(`flush`), then private frames lose their references, then the lock is given back. Who finds an entry under the lock can
therefore rely on no processor's remembering more than it says. Entries that gain rights need no flush: a processor that
remembers less faults, and finds that nothing is left to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.mm import frame, reclaim
from kaa.kernel.mm.frame import PAGE_SHIFT, PAGE_SIZE
from kaa.kernel.mm.gather import CAPACITY
from kaa.lang import Atomic, inline, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace

FILE: Final = machine.paging.SOFTWARE
"""The entry shows a page of a page cache, not a private one."""
LENT: Final = machine.paging.SOFTWARE << 1
"""The entry shows a frame that is for ever."""
MARKS: Final = FILE | LENT
TABLE_SPAN: Final = 0x20_0000
"""What one last-level table covers."""
NOT_PRESENT: Final = 0xFFFF_FFFF_FFFF_FFFF - machine.paging.PRESENT
USED: Final = machine.paging.ACCESSED | machine.paging.DIRTY
"""What processors set by themselves, at any time."""


class ZeroPage:
    """The frame that all reads of untouched anonymous memory see. Never counted, never freed, never writable."""

    pfn: Atomic[u64]

    def __init__(self) -> None:
        self.pfn = Atomic(0)

    @inline
    def number(self) -> u64:
        """Its frame; made at first use. Raises MemoryError."""
        pfn = self.pfn.load_relaxed()
        return pfn if pfn != 0 else self._make()

    def _make(self) -> u64:
        from kaa.kernel.mm import buddy

        fresh = buddy.allocate_zeroed()
        if not self.pfn.compare_exchange(0, fresh):
            frame.put_page(fresh)
        return self.pfn.load()


zero_page = ZeroPage()


@inline
def make_lent_entry(pfn: u64, executable: bool) -> u64:
    """The entry for a frame that is for ever."""
    return machine.paging.make_entry(pfn, False, executable, True) | LENT


@inline
def make_file_entry(pfn: u64, writable: bool, executable: bool) -> u64:
    """The entry for a page of a page cache."""
    return machine.paging.make_entry(pfn, writable, executable, True) | FILE


@inline
def flush(space: AddressSpace, start: u64, end: u64) -> None:
    """Let every processor forget its translations of [start, end). Under `table_lock`, interrupts on."""
    machine.paging.shoot_down(space.page_table, start, end)


# -- going


def unmap(space: AddressSpace, start: u64, end: u64) -> None:
    """Take all entries of [start, end) out and give their frames up."""
    first = start
    while first < end:
        with space.table_lock:
            first = _take_out(space, first, end)


def _take_out(space: AddressSpace, start: u64, end: u64) -> u64:
    """One batch; where it stopped."""
    gather = machine.percpu.here().gather
    taken: u32 = 0
    writable: u32 = 0
    read_only: u32 = 0
    cached: u32 = 0
    stop = end
    for va, entry in space.page_table.take_range(start, end):
        taken += 1
        if entry & MARKS == 0:
            if machine.paging.entry_writable(entry):
                gather.frames[writable] = u32(machine.paging.entry_pfn(entry))
                writable += 1
            else:
                read_only += 1
                gather.frames[u32(CAPACITY) - read_only] = u32(machine.paging.entry_pfn(entry))
        elif entry & FILE != 0:
            cached += 1
        if taken == CAPACITY:
            stop = va + PAGE_SIZE
            break
    if taken != 0:
        flush(space, start, stop)
        space.lose_pages(u64(writable + read_only), u64(cached))
        gather.give_up(writable, read_only)
    return stop


def drop_entry(space: AddressSpace, va: u64) -> None:
    """Take the entry of one page out. Under `table_lock`."""
    entry = space.page_table.clear(va)
    if entry == 0:
        return
    flush(space, va, va + PAGE_SIZE)
    if entry & FILE != 0:
        space.lose_pages(u64(0), u64(1))
    elif entry & LENT == 0:
        space.lose_pages(u64(1), u64(0))
        frame.put_page(machine.paging.entry_pfn(entry))


# -- other rights, other frames


def protect(space: AddressSpace, start: u64, end: u64, accessible: bool, executable: bool) -> None:
    """New rights for the pages in [start, end). None becomes writable here: a write faults, and the fault knows whether
    the page is to be copied, marked dirty or simply opened."""
    first = start
    while first < end:
        with space.table_lock:
            first = _protect_some(space, first, end, accessible, executable)


def _protect_some(space: AddressSpace, start: u64, end: u64, accessible: bool, executable: bool) -> u64:
    """One batch; where it stopped."""
    changed: u64 = 0
    stop = end
    for va, entry in space.page_table.entries(start, end):
        pfn = machine.paging.entry_pfn(entry)
        fresh = machine.paging.make_entry(pfn, False, executable, True) | (entry & MARKS)
        if not accessible:
            fresh = fresh & NOT_PRESENT
        if (fresh ^ entry) & ~u64(USED) != 0:
            space.page_table.set_entry(va, fresh)
            changed += 1
            if changed == CAPACITY:
                stop = va + PAGE_SIZE
                break
    if changed != 0:
        flush(space, start, stop)
    return stop


def write_protect(space: AddressSpace, va: u64) -> None:
    """Let the next write to one page fault."""
    with space.table_lock:
        entry = space.page_table.get(va)
        if entry != 0 and machine.paging.entry_writable(entry):
            space.page_table.set_entry(va, machine.paging.without_write(entry))
            flush(space, va, va + PAGE_SIZE)


def show_other(space: AddressSpace, va: u64, entry: u64) -> None:
    """Let an entry that is there show another frame. Nobody may see the new frame before all have forgotten the old
    one: what was written to the one must not be missing in the other. Under `table_lock`."""
    space.page_table.show_other(va, entry)


# -- moving


def reserve(space: AddressSpace, va: u64) -> None:
    """See to it that an entry can be put at `va`. No spinlock is held: memory is made if need be. Raises
    MemoryError."""
    try:
        with space.table_lock:
            space.page_table.reserve(va)
    except MemoryError:
        if not reclaim.may_reclaim() or reclaim.free_some(u64(32)) == 0:
            raise
        with space.table_lock:
            space.page_table.reserve(va)


def move(space: AddressSpace, source: u64, target: u64, length: u64) -> None:
    """Move the entries of `length` bytes elsewhere. Raises MemoryError; what was moved by then is moved back. Under
    `lock`, writing."""
    done: u64 = 0
    try:
        while done < length:
            done = _move_some(space, source, target, done, length)
    except MemoryError:
        back: u64 = 0
        while back < done:
            back = _move_some(space, target, source, back, done)
        raise


def _move_some(space: AddressSpace, source: u64, target: u64, done: u64, length: u64) -> u64:
    """Move what shares both tables with the first page from `done` on; where to go on."""
    with space.table_lock:
        done = space.page_table.next_table(source + done, source + length) - source
    if done == length:
        return done
    reserve(space, target + done)
    step = min(to_table_end(source + done), to_table_end(target + done), length - done)
    with space.table_lock:
        found = False
        for va, entry in space.page_table.take_range(source + done, source + done + step):
            found = True
            space.page_table.set_entry(target + (va - source), entry)
        if found:
            flush(space, source + done, source + done + step)
    return done + step


def to_table_end(va: u64) -> u64:
    """Bytes from an address to the end of what its last-level table covers."""
    return TABLE_SPAN - (va & (TABLE_SPAN - 1))


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
