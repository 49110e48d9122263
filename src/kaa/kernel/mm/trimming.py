# SPDX-License-Identifier: Apache-2.0
"""Short of memory: take clean pages of files out of page tables, so that they can be reclaimed.

A page that a program maps has a reference from the mapping, and `reclaim` leaves it alone. Here the mappings go: of
those pages that were not touched since the last time (the processor's accessed bit, cleared when it is looked at). If
all were, the second round takes them nevertheless. A touch brings a page back, from the cache if it is still there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.arch import machine
from kaa.kernel.mm import frame, pages, reclaim
from kaa.kernel.mm.frame import CACHED
from kaa.kernel.mm.vma import LOCKED
from kaa.kernel.process import foreign, ids, tree
from kaa.lang import i32, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.mm.vma import Vma


def free_mapped(wanted: u64) -> u64:
    """Free about `wanted` frames that hold pages of mapped files; gives how many. The caller holds no lock of mm's."""
    for _ in range(2):
        if _trim_all() > 0:
            freed = reclaim.free_some(wanted)
            if freed > 0:
                return freed
    return u64(0)


def _trim_all() -> u64:
    """Every process; gives how many mappings went."""
    trimmed: u64 = 0
    group = ids.next_process(i32(0))
    while group is not None:
        space: AddressSpace | None = None
        with tree.lock:
            leader = group.leader
            if leader is not None:
                space = foreign.memory_of(leader)
        if space is not None:
            trimmed += _trim(space)
        group = ids.next_process(group.tgid)
    return trimmed


def _trim(space: AddressSpace) -> u64:
    """One address space, unless somebody is changing its areas."""
    if not space.lock.try_read():
        return u64(0)
    trimmed: u64 = 0
    for vma in space.areas:
        cache = vma.cache
        if cache is not None and cache.backed and vma.flags & LOCKED == 0:
            trimmed += _trim_area(space, vma)
    space.lock.release_read()
    return trimmed


def _trim_area(space: AddressSpace, vma: Vma) -> u64:
    trimmed: u64 = 0
    with space.table_lock:
        for va, entry in space.page_table.entries(vma.start, vma.end):
            pfn = machine.paging.entry_pfn(entry)
            if pages.is_counted(pfn) and frame.test_flags(pfn, CACHED) and not frame.test_flags(pfn, reclaim.BUSY):
                if machine.paging.entry_accessed(entry):
                    space.page_table.set_entry(va, machine.paging.without_accessed(entry))
                else:
                    space.page_table.clear(va)
                    frame.clear_flags(pfn, frame.REFERENCED)
                    frame.put_page(pfn)
                    trimmed += 1
        space.file_pages -= min(trimmed, space.file_pages)
        pages.flush(space, vma.start, vma.end)
    return trimmed
