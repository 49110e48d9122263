# SPDX-License-Identifier: Apache-2.0
"""References of mm that are not counted, each with the reason why what it names is alive while it is used.

Here and nowhere else in mm, so that whoever looks for a dangling reference has one file to read. The classes that have
these fields are their subclasses: PageCache (page_cache.py) and Vma (vma.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.lib.range_map import Range
from kaa.kernel.mm.frame import page
from kaa.lang import Guarded, borrowed, u64
from kaa.lang.unsafe import Unowned, address_of, class_at

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.mm.page_cache import PageCache
    from kaa.kernel.mm.vma import Vma


class CacheLinks:
    """What a page cache refers to without counting."""

    owner: Unowned[Inode | None]
    """The inode that the cache is part of, which outlives it: whoever uses the cache holds the inode, or a file or area
    that holds it."""
    sharers: Guarded[Unowned[Vma | None], "PageCache.areas_lock"] = None
    """First of the areas that map it and are nobody's copies (file_mappings.py), under `areas_lock`. They take
    themselves off before they die."""


class AreaLinks(Range):
    """What an area refers to without counting."""

    space: Unowned[AddressSpace | None] = None
    """The address space that it is in; lives longer. Read through `space_of`."""
    shown: Unowned[PageCache | None] = None
    """The cache whose pages it shows. The area's file keeps it, through its inode, or the area itself (`Vma.keeps`):
    the areas of one file, which every process has, do not write to one count."""
    next_sharer: Guarded[Unowned[Vma | None], "PageCache.areas_lock"] = None
    previous_sharer: Guarded[Unowned[Vma | None], "PageCache.areas_lock"] = None
    """Neighbours among the cache's first areas, or among the copies of one area; before the first copy, that area."""
    first_copy: Guarded[Unowned[Vma | None], "PageCache.areas_lock"] = None
    """The copy of it that was made last, of those that are left. All three under the cache's `areas_lock`."""

    @property
    def cache(self) -> PageCache | None:
        """The cache whose pages it shows, counted: read under the address space's lock, for those who use it after the
        area may be gone."""
        return self.shown


@borrowed
def space_of(area: AreaLinks) -> AddressSpace | None:
    """The address space that an area in its file's tree is in, under the tree's lock. It may be at its end, waiting for
    that lock to take its areas off: then nobody may count it any more, not even for a moment."""
    return area.space


@borrowed
def shown_by(area: AreaLinks) -> PageCache | None:
    """The cache whose pages an area shows, as long as the area is known to be there: under its address space's lock, or
    when it is nobody else's."""
    return area.shown


def set_cache(pfn: u64, cache: PageCache) -> None:
    """Note in a page's descriptor which cache it is in."""
    page(pfn).mapping = address_of(cache)


@borrowed
def cache_of(pfn: u64) -> PageCache:
    """The cache that a page is in, which is alive as long as the page is on reclaim's list (under `reclaim.lru`)."""
    from kaa.kernel.mm.page_cache import PageCache

    return class_at(PageCache, page(pfn).mapping)
