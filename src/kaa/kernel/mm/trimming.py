# SPDX-License-Identifier: Apache-2.0
"""From a page of a file to the page tables that show it: whether there are any, and taking it out of them when memory
is short.

The way is that of truncate: the areas of its cache (file_mappings.py). Reclaim, which comes here under `reclaim.lru`
for any task that allocates, whatever it holds, tries the locks on the way and does not wait for them. What it takes out
are entries that were not used since it last came (the processor's accessed bit, which goes then), but for those of
locked areas. A touch brings a page back, from the cache if it is still there.

While one looks, others may map the page where he has looked already. So he makes it UNSEEN first, and who maps it ends
that (`PageCache.show`), under a `table_lock` that is taken here after it: an entry that was made without noticing is
found, any other is told of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.mm import file_mappings, frame, pages
from kaa.kernel.mm.file_mappings import NOWHERE
from kaa.kernel.mm.frame import UNSEEN, page
from kaa.kernel.mm.links import space_of
from kaa.kernel.mm.vma import LOCKED
from kaa.lang import u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.mm.page_cache import PageCache
    from kaa.kernel.mm.vma import Vma


MANY: Final = 1 << 62
ENOUGH: Final = 256
"""Areas that reclaim goes through for one page that it may not take out: others wait for its lock meanwhile."""


def settle(cache: PageCache, pfn: u64, taking: bool) -> None:
    """See what shows a page of the cache that is MAPPED: it no longer is if nothing does. `taking`: take it out of all
    address spaces. As far as that can be done without waiting. The page stays in the cache meanwhile."""
    if not cache.areas_lock.try_acquire():
        return
    if not _may_be_shown(cache, pfn, taking) and cache.lock.try_acquire():
        cache.note_unseen(pfn)
        cache.lock.release()
    cache.areas_lock.release()


def _may_be_shown(cache: PageCache, pfn: u64, taking: bool) -> bool:
    """Whether some table shows the page, or may for all that can be said now. Under `areas_lock`."""
    frame.set_flags(pfn, UNSEEN)
    index = u64(page(pfn).index)
    left = u64(MANY) if taking else u64(ENOUGH)
    shown = False
    for vma in file_mappings.areas_of(cache):
        if left == 0:
            return True
        left -= 1
        at = file_mappings.place_of(vma, index)
        if at != NOWHERE and _may_show(vma, at, pfn, taking):
            if not taking:
                return True
            shown = True
    return shown


def _may_show(vma: Vma, va: u64, pfn: u64, taking: bool) -> bool:
    space = space_of(vma)
    if space is None or not space.table_lock.try_acquire():
        return True
    shows = _table_shows(space, va, pfn, taking and vma.flags & LOCKED == 0)
    space.table_lock.release()
    return shows


def is_shown(cache: PageCache, pfn: u64) -> bool:
    """Whether some table shows the page, for those who can wait. Under `areas_lock`; once it is known that the page is
    still UNSEEN, under the cache's lock, the answer is true."""
    frame.set_flags(pfn, UNSEEN)
    index = u64(page(pfn).index)
    for vma in file_mappings.areas_of(cache):
        at = file_mappings.place_of(vma, index)
        space = space_of(vma)
        if at != NOWHERE and space is not None:
            with space.table_lock:
                if _table_shows(space, at, pfn, False):
                    return True
    return False


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
