# SPDX-License-Identifier: Apache-2.0
"""What gives when memory is short: clean pages of files that can be read again.

Such pages (of caches with `backed`) stand on one list, threaded through their descriptors, newest first. The end of the
list is looked at first; a page that was used since it was last looked at gets a second chance at the front ("clock",
Corbató 1968). A page goes if nobody but its cache has a reference, and it is neither dirty nor being read.

Lock: `lru` (spin), inside a cache's own lock when pages come, outside it (tried, never waited for) when they go. A
cache takes all its pages off the list before it dies, so a cache found through a listed page is alive while `lru` is
held. Other rooms may register shrinkers for what they keep without need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.mm import frame, links
from kaa.kernel.mm.frame import DIRTY, LISTED, LOCKED, REFERENCED, UPTODATE, WRITEBACK, page
from kaa.lang import u64

if TYPE_CHECKING:
    from kaa.kernel.mm.page_cache import PageCache

SCAN_LIMIT: Final = 4096
BUSY: Final = DIRTY | LOCKED | WRITEBACK
MEMORY_VICTIM: Final = 32
"""Task.flags: chosen by the OOM killer."""


class Lru(SpinLock):
    """The list of reclaimable pages; its own lock."""

    first: u64 = 0
    last: u64 = 0
    count: u64 = 0
    reclaimed: u64 = 0
    running: bool = False

    def link(self, pfn: u64) -> None:
        """Put a page in front."""
        descriptor = page(pfn)
        descriptor.previous = 0
        descriptor.next = self.first
        if self.first != 0:
            page(self.first).previous = pfn
        else:
            self.last = pfn
        self.first = pfn
        self.count += 1

    def unlink(self, pfn: u64) -> None:
        """Take a page out."""
        descriptor = page(pfn)
        following, previous = u64(descriptor.next), u64(descriptor.previous)
        if previous != 0:
            page(previous).next = following
        else:
            self.first = following
        if following != 0:
            page(following).previous = previous
        else:
            self.last = previous
        self.count -= 1


lru = Lru("reclaimable pages")
shrinkers: list[Callable[[u64], u64]] = []
"""Filled at import: each is asked to let go of about n pages' worth and says how many it freed. Must not allocate."""


def track(cache: PageCache, pfn: u64) -> None:
    """A page came into a backed cache. Under the cache's lock."""
    with lru:
        links.set_cache(pfn, cache)
        frame.set_flags(pfn, LISTED)
        lru.link(pfn)


def untrack(pfn: u64) -> None:
    """A page leaves its cache. Under the cache's lock, or at the cache's end."""
    if frame.test_flags(pfn, LISTED):
        with lru:
            frame.clear_flags(pfn, LISTED)
            lru.unlink(pfn)


def may_reclaim() -> bool:
    """Whether the caller may sleep, and is not reclaiming already."""
    return machine.percpu.preempt_count() == 0 and machine.irq.enabled() and not lru.running


def is_victim() -> bool:
    """Whether the running task was chosen to die for memory: it may use the reserve to get there."""
    return machine.percpu.has_current() and machine.percpu.current().flags.load() & MEMORY_VICTIM != 0


def free_some(wanted: u64) -> u64:
    """Free about `wanted` frames; gives how many it were. The caller holds no spinlock."""
    freed: u64 = 0
    lru.running = True
    for shrinker in shrinkers:
        freed += shrinker(wanted)
    left = min(u64(SCAN_LIMIT), 2 * lru.count)
    while freed < wanted and left > 0:
        left -= 1
        pfn = _take_last()
        if pfn != 0:
            frame.put_page(pfn)
            freed += 1
    lru.running = False
    lru.reclaimed += freed
    return freed


def _take_last() -> u64:
    """Look at the end of the list: a page that may go leaves its cache, any other moves to the front and 0 is given."""
    with lru:
        pfn = lru.last
        if pfn == 0:
            return u64(0)
        lru.unlink(pfn)
        if frame.test_flags(pfn, REFERENCED):
            frame.clear_flags(pfn, REFERENCED)
        elif _evict(pfn):
            return pfn
        lru.link(pfn)
    return u64(0)


def _evict(pfn: u64) -> bool:
    """Take the page out of its cache if that can be done without waiting. Under `lru`."""
    cache = links.cache_of(pfn)
    if not cache.lock.try_acquire():
        return False
    gone = not frame.test_flags(pfn, BUSY) and frame.test_flags(pfn, UPTODATE) and frame.refcount(pfn) == 1
    if gone:
        frame.clear_flags(pfn, LISTED)
        cache.forget(u64(page(pfn).index))
    cache.lock.release()
    return gone


def reclaimable_pages() -> u64:
    """Pages on the list: MemAvailable counts them as good as free."""
    return lru.count
