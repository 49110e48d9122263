# SPDX-License-Identifier: Apache-2.0
"""Areas that go: munmap(2), and the splitting that munmap, mprotect, madvise and mremap share.

The only step that can fail is the split of an area whose middle goes; it is done first, so a call that fails has
changed nothing. After that their pages leave the page table, then the areas the map, then empty tables are freed. Where
several processors use the memory, and it is one area without a file, that leaves the map first, and the rest is done by
a reader of the map.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm import file_mappings, pages
from kaa.kernel.mm.frame import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from kaa.kernel.mm.vma import SHARED, WRITE, Vma
from kaa.lang import inline, noinline, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace

USER_END: Final = machine.paging.USER_END
MAX_AREAS: Final = 65530
NONE: Final = 1
"""In the place of a table's first address: there is none."""


def unmap(space: AddressSpace, address: u64, length: u64) -> None:
    """munmap(2). Raises OSError(EINVAL), MemoryError."""
    if address & (PAGE_SIZE - 1) != 0 or length == 0 or address > USER_END or length > USER_END - address:
        raise OSError(errno.EINVAL)
    end = (address + length + PAGE_SIZE - 1) & PAGE_MASK
    if space.page_table.is_busy():
        _unmap_beside_others(space, address, end)
        return
    with space.lock.write():
        unmap_locked(space, address, end)


@noinline
def _unmap_beside_others(space: AddressSpace, start: u64, end: u64) -> None:
    """As unmap_locked, and takes the lock. Of an area that is no file's, if it is all there is in the range, the pages
    are taken out and forgotten while faults of other threads go on: it is in no map any more then, and nothing new can
    come into its place before the lock is given back. Raises MemoryError, nothing changed."""
    space.lock.acquire_write()
    vma = _lone_area(space, start, end)
    if vma is None:
        try:
            unmap_locked(space, start, end)
        finally:
            space.lock.release_write()
        return
    space.unlink(vma)
    first, last = _useless_tables(space, start, end)
    space.lock.begin_downgrade()
    space.lock.end_downgrade()
    pages.unmap(space, vma.start, vma.end)
    _free_between(space, first, last)
    space.lock.release_read()


def _lone_area(space: AddressSpace, start: u64, end: u64) -> Vma | None:
    """The area that is all there is in [start, end), if it is no file's, and has pages."""
    vma = space.areas.first_ending_above(start)
    if vma is None or vma.start < start or vma.end > end or vma.shown is not None or not vma.has_copies.load_relaxed():
        return None
    after = space.areas.first_ending_above(vma.end)
    return vma if after is None or after.start >= end else None


def unmap_locked(space: AddressSpace, start: u64, end: u64) -> None:
    """Unmap whatever is in [start, end). Under `lock`, writing. Raises MemoryError, nothing changed."""
    first = space.areas.first_ending_above(start)
    if first is None or first.start >= end:
        return
    if first.start < start and first.end > end and len(space.areas) >= MAX_AREAS:
        raise MemoryError
    _cut(space, start)
    try:
        _cut(space, end)
    except MemoryError:
        merge_at(space, start)
        raise
    while True:
        vma = space.areas.first_ending_above(start)
        if vma is None or vma.start >= end:
            break
        _remove(space, vma)
    free_tables(space, start, end)


def _cut(space: AddressSpace, at: u64) -> None:
    """As split, but one area more than allowed may come of it for a moment."""
    vma = space.areas.find(at)
    if vma is not None and vma.start != at:
        _divide(space, vma, at)


def _remove(space: AddressSpace, vma: Vma) -> None:
    """Its pages go while the area can still be found by those who must know of all writers (write-back)."""
    pages.unmap(space, vma.start, vma.end)
    space.unlink(vma)
    file_mappings.write_back(vma)


def free_tables(space: AddressSpace, start: u64, end: u64) -> None:
    """Free page tables that served nothing but [start, end), now empty."""
    first, last = _useless_tables(space, start, end)
    _free_between(space, first, last)


@inline
def _free_between(space: AddressSpace, first: u64, last: u64) -> None:
    if first < last:
        with space.table_lock:
            space.page_table.free_range(first, last)


@inline
def _useless_tables(space: AddressSpace, start: u64, end: u64) -> tuple[u64, u64]:
    """The range of the page tables to free when nothing is left in [start, end), whose areas are gone: empty if there
    are none. Small holes rarely free one."""
    floor: u64 = 0
    ceiling: u64 = (USER_END + pages.TABLE_SPAN - 1) & ~u64(pages.TABLE_SPAN - 1)
    before = space.areas.last_at_or_below(start)
    if before is not None:
        floor = before.end
    after = space.areas.first_ending_above(end)
    if after is not None:
        ceiling = after.start
    first = max((floor + pages.TABLE_SPAN - 1) & ~u64(pages.TABLE_SPAN - 1), start & ~u64(pages.TABLE_SPAN - 1))
    last = min(ceiling & ~u64(pages.TABLE_SPAN - 1), (end + pages.TABLE_SPAN - 1) & ~u64(pages.TABLE_SPAN - 1))
    if last == first + pages.TABLE_SPAN:
        first = _keep_instead(space, first)
        if first == NONE:
            return u64(0), u64(0)
        last = first + pages.TABLE_SPAN
    return first, last


def _keep_instead(space: AddressSpace, first: u64) -> u64:
    """Keep an empty table: the hole that it served is most often filled again, and then all processors that run threads
    of the program need not be interrupted, now and each time. One is kept for an address space; gives the one kept
    before if that is to be freed, else NONE."""
    before = space.kept_table
    space.kept_table = first
    if before == first or before == NONE:
        return u64(NONE)
    after = space.areas.first_ending_above(before)
    if after is not None and after.start < before + pages.TABLE_SPAN:
        return u64(NONE)
    return before


def split(space: AddressSpace, at: u64) -> None:
    """Make `at` a border between two areas, if it lies within one. Raises MemoryError, also beyond vm.max_map_count."""
    vma = space.areas.find(at)
    if vma is None or vma.start == at:
        return
    if len(space.areas) >= MAX_AREAS:
        raise MemoryError
    _divide(space, vma, at)


def _divide(space: AddressSpace, vma: Vma, at: u64) -> None:
    upper = vma.part(at, vma.end)
    upper.space = space
    space.areas.insert(upper)
    file_mappings.divide(vma, upper)


def merge_at(space: AddressSpace, at: u64) -> None:
    """Make one area of the two that meet at `at`, if they are alike."""
    vma = space.areas.find(at)
    if vma is None or vma.start != at or at == 0:
        return
    before = space.areas.find(at - 1)
    if before is None or not vma.continues(before):
        return
    space.areas.remove(vma)
    if vma.has_copies.load_relaxed():
        before.note_copy()
    file_mappings.unite(before, vma)


def pages_in(space: AddressSpace, start: u64, end: u64) -> u64:
    """Pages of [start, end) that belong to some area."""
    total: u64 = 0
    for vma in space.areas.between(start, end):
        total += (min(vma.end, end) - max(vma.start, start)) >> PAGE_SHIFT
    return total


def is_shared_writable(vma: Vma) -> bool:
    """Whether stores go to a file."""
    return vma.flags & (SHARED | WRITE) == SHARED | WRITE


@syscall(x86_64=11, arm64=215)
def munmap(address: u64, length: u64) -> None:
    """munmap(2): unmap pages, whatever they show."""
    space = machine.percpu.current().mm
    assert space is not None
    unmap(space, address, length)
