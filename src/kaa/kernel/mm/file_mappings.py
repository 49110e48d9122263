# SPDX-License-Identifier: Apache-2.0
"""Which areas show a file: the way from a page of a cache to the page-table entries that map it (reverse mapping).

Needed when pages go away (truncate, reclaim) or when writes must be noticed again (write-back). The areas of a cache
form a tree through themselves, under the cache's `areas_lock`: a copy that fork makes is below its original, so that
processes that fork side by side write to no area of each other's. An area is in it from its insertion into the address
space to its removal, so the address space of an area found here is alive for as long as the lock is held. The bounds of
an area in the tree change only under both the address space's lock and this one: at no moment is a mapped page of the
file outside all of its areas. A walk meets each area before the copies of it.

A walk sees entries that appear meanwhile, or they are not made: truncate takes a page out of the cache before it walks,
and who maps a page looks, under `table_lock`, whether it still is in the cache.

Lock order: areas_lock → AddressSpace.table_lock → PageCache.lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from kaa.kernel.mm import pages
from kaa.kernel.mm.frame import PAGE_SHIFT
from kaa.kernel.mm.links import shown_by, space_of
from kaa.kernel.mm.vma import SHARED, WRITE
from kaa.lang import borrowed, cold, inline, u64

if TYPE_CHECKING:
    from kaa.kernel.lib.range_map import RangeMap
    from kaa.kernel.mm.page_cache import PageCache
    from kaa.kernel.mm.vma import Vma

NOWHERE: Final = 0xFFFF_FFFF_FFFF_FFFF


@inline
def link(vma: Vma) -> None:
    """The area is in an address space now."""
    cache = shown_by(vma)
    if cache is not None:
        with cache.areas_lock:
            link_locked(cache, vma)


def link_copies(copies: RangeMap[Vma], originals: RangeMap[Vma]) -> None:
    """As link of all areas of an address space, each a copy of one of another's."""
    at: u64 = 0
    while True:
        vma = copies.first_ending_above(at)
        if vma is None:
            return
        cache = shown_by(vma)
        at = vma.end if cache is None else _link_run(copies, originals, vma.start, cache)


def _run(areas: RangeMap[Vma], start: u64, cache: PageCache) -> Iterator[Vma]:
    """Areas that show one file, from the one at `start` on, until one shows another. Those in between that show none
    are passed over."""
    for vma in areas.ending_above(start):
        if vma.shown is cache:
            yield vma
        elif vma.shown is not None:
            return


def _link_run(copies: RangeMap[Vma], originals: RangeMap[Vma], start: u64, cache: PageCache) -> u64:
    """Link a run; where it ends."""
    end = start
    with cache.areas_lock:
        for vma in _run(copies, start, cache):
            end = vma.end
            original = originals.find(vma.start)
            assert original is not None and original.shown is cache
            _link_below(vma, original)
    return end


def _link_below(vma: Vma, original: Vma) -> None:
    following = original.first_copy
    vma.next_sharer = following
    vma.previous_sharer = original
    if following is not None:
        following.previous_sharer = vma
    original.first_copy = vma


def unlink_all(areas: RangeMap[Vma]) -> None:
    """As unlink of all areas of an address space."""
    at: u64 = 0
    while True:
        vma = areas.first_ending_above(at)
        if vma is None:
            return
        cache = shown_by(vma)
        at = vma.end if cache is None else _unlink_run(areas, vma.start, cache)


def _unlink_run(areas: RangeMap[Vma], start: u64, cache: PageCache) -> u64:
    """Unlink a run; where it ends."""
    end = start
    with cache.areas_lock:
        for vma in _run(areas, start, cache):
            end = vma.end
            unlink_locked(cache, vma)
    return end


def link_locked(cache: PageCache, vma: Vma) -> None:
    """As link, under the cache's `areas_lock`."""
    first = cache.sharers
    vma.next_sharer = first
    vma.previous_sharer = None
    if first is not None:
        first.previous_sharer = vma
    cache.sharers = vma


@inline
def unlink(vma: Vma) -> None:
    """The area is about to leave its address space."""
    cache = shown_by(vma)
    if cache is not None:
        with cache.areas_lock:
            unlink_locked(cache, vma)


def unlink_locked(cache: PageCache, vma: Vma) -> None:
    """As unlink, under the cache's `areas_lock`. Copies of it that are left take its place."""
    following, previous = vma.next_sharer, vma.previous_sharer
    if vma.first_copy is not None:
        following = _bring_up(vma, following)
    if previous is None:
        cache.sharers = following
    elif previous.first_copy is vma:
        previous.first_copy = following
    else:
        previous.next_sharer = following
    if following is not None:
        following.previous_sharer = previous
    vma.next_sharer = None
    vma.previous_sharer = None


@cold
def _bring_up(vma: Vma, following: Vma | None) -> Vma | None:
    """Put the area's copies before what follows it; the first of them. A process that has children left at its end
    spends as much on each child when it hands them on."""
    first = last = vma.first_copy
    while last is not None:
        after = last.next_sharer
        if after is None:
            last.next_sharer = following
            if following is not None:
                following.previous_sharer = last
        last = after
    vma.first_copy = None
    return first


@inline
def place_of(vma: Vma, index: u64) -> u64:
    """The address at which the area shows a page of its file; NOWHERE if it does not."""
    first = vma.offset >> PAGE_SHIFT
    if index < first or index - first >= vma.pages():
        return u64(NOWHERE)
    return vma.start + ((index - first) << PAGE_SHIFT)


@borrowed
def next_area(vma: Vma) -> Vma | None:
    """The next one in a walk through all areas of a cache, from `sharers` on. Under the `areas_lock`, which keeps it
    alive."""
    if vma.first_copy is not None:
        return vma.first_copy
    at: Vma | None = vma
    while at is not None:
        if at.next_sharer is not None:
            return at.next_sharer
        at = _original(at)
    return None


def areas_of(cache: PageCache) -> Iterator[Vma]:
    """All areas that show a file, each before its copies. Under the `areas_lock`."""
    vma = cache.sharers
    while vma is not None:
        yield vma
        vma = next_area(vma)


def _original(vma: Vma) -> Vma | None:
    """The area that this one is below; None for a cache's first areas."""
    at = vma
    while True:
        previous = at.previous_sharer
        if previous is None or previous.first_copy is at:
            return previous
        at = previous


def set_end(vma: Vma, end: u64) -> None:
    """Change where an area ends. Under the address space's lock, writing."""
    cache = shown_by(vma)
    if cache is None:
        vma.end = end
        return
    with cache.areas_lock:
        vma.end = end


def divide(vma: Vma, upper: Vma) -> None:
    """`upper`, in the address space's map already, takes over the end of the area."""
    cache = shown_by(vma)
    if cache is None:
        vma.end = upper.start
        return
    with cache.areas_lock:
        vma.end = upper.start
        link_locked(cache, upper)


def unite(vma: Vma, upper: Vma) -> None:
    """The area takes over `upper`, which has left the address space's map already."""
    cache = shown_by(vma)
    if cache is None:
        vma.end = upper.end
        return
    with cache.areas_lock:
        vma.end = upper.end
        unlink_locked(cache, upper)


def unmap_range(cache: PageCache, first_index: u64, end_index: u64) -> None:
    """Take the pages [first_index, end_index), and private copies of them, out of all address spaces."""
    with cache.areas_lock:
        for vma in areas_of(cache):
            _unmap_part(vma, first_index, end_index)


def _unmap_part(vma: Vma, first_index: u64, end_index: u64) -> None:
    shown = vma.offset >> PAGE_SHIFT
    first = max(first_index, shown) - shown
    end = min(max(end_index, shown) - shown, vma.pages())
    space = space_of(vma)
    if space is not None and first < end:
        pages.unmap(space, vma.start + (first << PAGE_SHIFT), vma.start + (end << PAGE_SHIFT))


def write_protect(cache: PageCache, index: u64) -> None:
    """Let the next write to the page be noticed, in every shared mapping of it."""
    with cache.areas_lock:
        for vma in areas_of(cache):
            at = place_of(vma, index)
            space = space_of(vma)
            if space is not None and vma.is_shared() and at != NOWHERE:
                pages.write_protect(space, at)


def has_writable(cache: PageCache) -> bool:
    """Whether stores through some shared mapping can change the file, now or after mprotect(2): for
    F_SEAL_WRITE (fcntl(2))."""
    found = False
    with cache.areas_lock:
        for vma in areas_of(cache):
            found = found or vma.flags & SHARED != 0 and vma.may(WRITE)
    return found


def write_back(vma: Vma) -> None:
    """The area's pages are unmapped: what was stored through it goes to the file, as its last user may be gone soon.
    What cannot be written stays dirty, for fsync(2) to tell."""
    cache = shown_by(vma)
    if cache is None or not cache.backed or vma.flags & SHARED == 0 or not vma.may(WRITE):
        return
    first = vma.offset >> PAGE_SHIFT
    try:
        cache.write_back(first, first + vma.pages())
    except (OSError, MemoryError):
        pass
