# SPDX-License-Identifier: Apache-2.0
"""Which areas show a file: the way from a page of a cache to the page-table entries that map it.

Needed when pages go away (truncate) or when writes must be noticed again (write-back). The areas of a cache form a list
through themselves, under `lock`; an area is on it from its insertion into the address space to its removal, so the
address space of an area found here is alive for as long as the lock is held.

Lock order: lock → AddressSpace.table_lock → PageCache.lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.mm import pages
from kaa.kernel.mm.frame import PAGE_SHIFT
from kaa.lang import u64

if TYPE_CHECKING:
    from kaa.kernel.mm.page_cache import PageCache
    from kaa.kernel.mm.vma import Vma

END: Final = 1 << 54

lock = Mutex("file mappings")


def link(vma: Vma) -> None:
    """The area is in an address space now."""
    cache = vma.cache
    if cache is None:
        return
    with lock:
        first = cache.sharers
        vma.next_sharer = first
        vma.previous_sharer = None
        if first is not None:
            first.previous_sharer = vma
        cache.sharers = vma


def unlink(vma: Vma) -> None:
    """The area is about to leave its address space."""
    cache = vma.cache
    if cache is None:
        return
    with lock:
        following, previous = vma.next_sharer, vma.previous_sharer
        if previous is not None:
            previous.next_sharer = following
        else:
            cache.sharers = following
        if following is not None:
            following.previous_sharer = previous


def unmap_from(cache: PageCache, first_index: u64) -> None:
    """Take every page from `first_index` on, and private copies of them, out of all address spaces (truncate)."""
    unmap_range(cache, first_index, u64(END))


def unmap_range(cache: PageCache, first_index: u64, end_index: u64) -> None:
    """Take the pages [first_index, end_index), and private copies of them, out of all address spaces."""
    if cache.sharers is None:
        return
    with lock:
        vma = cache.sharers
        while vma is not None:
            _unmap_part(vma, first_index, end_index)
            vma = vma.next_sharer


def _unmap_part(vma: Vma, first_index: u64, end_index: u64) -> None:
    shown = vma.offset >> PAGE_SHIFT
    first = max(first_index, shown) - shown
    end = min(max(end_index, shown) - shown, vma.pages())
    space = vma.space
    if space is not None and first < end:
        pages.unmap(space, vma.start + (first << PAGE_SHIFT), vma.start + (end << PAGE_SHIFT))


def write_protect(cache: PageCache, index: u64) -> None:
    """Let the next write to the page be noticed, in every shared mapping of it."""
    if cache.sharers is None:
        return
    with lock:
        vma = cache.sharers
        while vma is not None:
            shown = vma.offset >> PAGE_SHIFT
            space = vma.space
            if space is not None and vma.is_shared() and index >= shown and index - shown < vma.pages():
                pages.write_protect(space, vma.start + ((index - shown) << PAGE_SHIFT))
            vma = vma.next_sharer
