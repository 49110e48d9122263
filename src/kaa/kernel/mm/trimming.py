# SPDX-License-Identifier: Apache-2.0
"""Short of memory: take a page of a file out of the page tables that show it, so that it can be reclaimed.

The way from the page to its entries is that of truncate: the areas of its cache (file_mappings.py). Locks on the way
are tried, not waited for: reclaim comes here under `reclaim.lru`, for any task that allocates, whatever it holds. An
entry that was used since the last look (the processor's accessed bit) stays, and loses the bit; so does one of a locked
area. A touch brings a page back, from the cache if it is still there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.arch import machine
from kaa.kernel.mm import file_mappings, frame, pages
from kaa.kernel.mm.frame import PAGE_SHIFT, page
from kaa.kernel.mm.links import space_of
from kaa.kernel.mm.vma import LOCKED
from kaa.lang import u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.mm.page_cache import PageCache
    from kaa.kernel.mm.vma import Vma


def unmap_everywhere(cache: PageCache, pfn: u64) -> None:
    """Take a page of the cache out of all address spaces, as far as that can be done now."""
    if not cache.areas_lock.try_acquire():
        return
    index = u64(page(pfn).index)
    vma = cache.sharers
    while vma is not None:
        shown = vma.offset >> PAGE_SHIFT
        if index >= shown and index - shown < vma.pages() and vma.flags & LOCKED == 0:
            _unmap_in(vma, vma.start + ((index - shown) << PAGE_SHIFT), pfn)
        vma = file_mappings.next_area(vma)
    cache.areas_lock.release()


def _unmap_in(vma: Vma, va: u64, pfn: u64) -> None:
    space = space_of(vma)
    if space is not None and space.table_lock.try_acquire():
        _unmap_unused(space, va, pfn)
        space.table_lock.release()


def _unmap_unused(space: AddressSpace, va: u64, pfn: u64) -> None:
    """Under `table_lock`. A private copy of the page is another frame, and stays."""
    entry = space.page_table.get(va)
    if entry == 0 or machine.paging.entry_pfn(entry) != pfn:
        return
    if machine.paging.entry_accessed(entry):
        space.page_table.replace(va, entry, machine.paging.without_accessed(entry))
        return
    pages.drop_entry(space, va)
    frame.clear_flags(pfn, frame.REFERENCED)
