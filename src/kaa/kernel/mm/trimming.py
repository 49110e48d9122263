# SPDX-License-Identifier: Apache-2.0
"""Short of memory: find out whether page tables show a page of a file, and take it out of them, so that it can be
reclaimed.

The way from the page to its entries is that of truncate: the areas of its cache (file_mappings.py). Locks on the way
are tried, not waited for: reclaim comes here under `reclaim.lru`, for any task that allocates, whatever it holds. An
entry that was used since the last look (the processor's accessed bit) stays, and loses the bit; so does one of a locked
area. A touch brings a page back, from the cache if it is still there.

While one looks, others may map the page where he has looked already. So he makes it UNSEEN first, and who maps it ends
that (`PageCache.show`), under a `table_lock` that is taken here after it: an entry that was made without noticing is
found, any other is told of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.arch import machine
from kaa.kernel.mm import file_mappings, frame, pages
from kaa.kernel.mm.frame import PAGE_SHIFT, UNSEEN, page
from kaa.kernel.mm.links import space_of
from kaa.kernel.mm.vma import LOCKED
from kaa.lang import u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.mm.page_cache import PageCache
    from kaa.kernel.mm.vma import Vma


def look(cache: PageCache, pfn: u64, taking: bool) -> None:
    """See what shows a page of the cache that is MAPPED: it no longer is if nothing does. `taking`: take it out of all
    address spaces, as far as that can be done now. The page stays in the cache meanwhile."""
    if not cache.areas_lock.try_acquire():
        return
    frame.set_flags(pfn, UNSEEN)
    index = u64(page(pfn).index)
    shown = False
    vma = cache.sharers
    while vma is not None and (taking or not shown):
        first = vma.offset >> PAGE_SHIFT
        if index >= first and index - first < vma.pages():
            shown = _shows(vma, vma.start + ((index - first) << PAGE_SHIFT), pfn, taking) or shown
        vma = file_mappings.next_area(vma)
    if not shown:
        cache.note_unseen(pfn)
    cache.areas_lock.release()


def _shows(vma: Vma, va: u64, pfn: u64, taking: bool) -> bool:
    """Whether the area shows the page, or may for all that can be said now."""
    space = space_of(vma)
    if space is None or not space.table_lock.try_acquire():
        return True
    shows = _table_shows(space, va, pfn, taking and vma.flags & LOCKED == 0)
    space.table_lock.release()
    return shows


def _table_shows(space: AddressSpace, va: u64, pfn: u64, taking: bool) -> bool:
    """Under `table_lock`. A private copy of the page is another frame, and stays."""
    entry = space.page_table.get(va)
    if entry == 0 or machine.paging.entry_pfn(entry) != pfn:
        return False
    if not taking:
        return True
    if machine.paging.entry_accessed(entry):
        space.page_table.replace(va, entry, machine.paging.without_accessed(entry))
        return True
    pages.drop_entry(space, va)
    frame.clear_flags(pfn, frame.REFERENCED)
    return False
