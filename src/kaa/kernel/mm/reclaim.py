# SPDX-License-Identifier: Apache-2.0
"""What gives when memory is short: clean pages of files that can be read again, and what other rooms keep without need.

Such pages (of caches with `backed`) stand on one list, threaded through their descriptors, newest first. The end of the
list is looked at first; a page that was used since it was last looked at gets a second chance at the front ("clock",
Corbató 1968). A page goes if nobody but its cache has a reference, and it is neither dirty nor being read.
A page that programs mapped is looked for in their page tables first (trimming.py); `free_mapped` takes it out of them.

Any number of tasks may reclaim at once; each at most once at a time (RECLAIMING).

Lock: `lru` (spin), inside a cache's own lock when pages come, outside it (tried, never waited for) when they go. A
cache takes all its pages off the list before it dies, so a cache found through a listed page is alive while `lru` is
held. Other rooms register shrinkers for what they keep.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.mm import events, frame, links
from kaa.kernel.mm.frame import LISTED, MAPPED, REFERENCED, page
from kaa.lang import Atomic, guarded, sleepable, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.page_cache import PageCache

SCAN_LIMIT: Final = 4096
MEMORY_VICTIM: Final = 32
"""Task.flags: chosen by the OOM killer."""
RECLAIMING: Final = 512
"""Task.flags: is reclaiming, and must not do so for what it allocates meanwhile."""
ALL_BUT_RECLAIMING: Final = 0xFFFF_FFFF - RECLAIMING


class Shrinker(ABC):
    """Something that another room keeps to be faster, and can do without."""

    @abstractmethod
    def count(self) -> u64:
        """Things that could go now: a guess, without a lock."""

    @abstractmethod
    def shrink(self, wanted: u64) -> u64:
        """Let about so many frames' worth go; gives how many things went. Called by whoever allocates, who may hold any
        sleeping lock: locks are tried, not waited for, and nothing is allocated that could be done without."""


shrinkers: list[Shrinker] = []


def register(shrinker: Shrinker) -> None:
    """Ask it from now on. At import only."""
    shrinkers.append(shrinker)


@guarded("self")
class Lru(SpinLock):
    """The list of reclaimable pages; its own lock."""

    first: u64 = 0
    last: u64 = 0
    count: Atomic[u64]
    """Changed under the lock, looked at without."""

    def __init__(self, name: str = "reclaimable pages") -> None:
        super().__init__(name)
        self.count = Atomic(0)

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
        self.count.store_relaxed(self.count.load_relaxed() + 1)

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
        self.count.store_relaxed(self.count.load_relaxed() - 1)


lru = Lru("reclaimable pages")


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


@sleepable
def may_reclaim() -> bool:
    """Whether the caller may sleep, and is not reclaiming already."""
    if machine.percpu.preempt_count() != 0 or not machine.irq.enabled() or not machine.percpu.has_current():
        return False
    return machine.percpu.current().flags.load() & RECLAIMING == 0


def is_victim() -> bool:
    """Whether the running task was chosen to die for memory: it may use the reserve to get there."""
    return machine.percpu.has_current() and machine.percpu.current().flags.load() & MEMORY_VICTIM != 0


def free_some(wanted: u64) -> u64:
    """Free about `wanted` frames; gives how many it were. The caller holds no spinlock."""
    if not may_reclaim():
        return u64(0)
    task = machine.percpu.current()
    task.flags.fetch_or(RECLAIMING)
    freed: u64 = 0
    for shrinker in shrinkers:
        if shrinker.count() > 0:
            freed += shrinker.shrink(wanted)
    left = min(u64(SCAN_LIMIT), 2 * lru.count.load_relaxed())
    while freed < wanted and left > 0:
        left -= 1
        freed += _free_last(False)
    task.flags.fetch_and(ALL_BUT_RECLAIMING)
    return freed


def free_mapped(wanted: u64) -> u64:
    """As free_some, but of pages that programs map: at first of those that they have not touched lately, then of
    any."""
    if not may_reclaim():
        return u64(0)
    task = machine.percpu.current()
    task.flags.fetch_or(RECLAIMING)
    freed: u64 = 0
    left = min(u64(SCAN_LIMIT), 3 * lru.count.load_relaxed())
    while freed < wanted and left > 0:
        left -= 1
        freed += _free_last(True)
    task.flags.fetch_and(ALL_BUT_RECLAIMING)
    return freed


def _free_last(mapped: bool) -> u64:
    """Look at the end of the list: a page that may go is freed (1), any other moves to the front (0). `mapped`: whether
    it was read lately does not matter, and it is taken out of page tables."""
    with lru:
        pfn = lru.last
        if pfn == 0:
            return u64(0)
        lru.unlink(pfn)
        spared = not mapped and frame.test_flags(pfn, REFERENCED)
        if spared:
            frame.clear_flags(pfn, REFERENCED)
        if spared or not _evict(pfn, mapped):
            lru.link(pfn)
            return u64(0)
    frame.put_page(pfn)
    events.counts.reclaimed.fetch_add(1)
    return u64(1)


def _evict(pfn: u64, mapped: bool) -> bool:
    """Take the page out of its cache, and out of page tables if `mapped`, if that can be done without waiting. Under
    `lru`."""
    from kaa.kernel.mm import trimming

    cache = links.cache_of(pfn)
    if frame.test_flags(pfn, MAPPED):
        trimming.settle(cache, pfn, mapped)
    if not cache.lock.try_acquire():
        return False
    gone = cache.is_idle(pfn, u32(1))
    if gone:
        frame.clear_flags(pfn, LISTED)
        cache.forget(u64(page(pfn).index))
    cache.lock.release()
    return gone


def reclaimable_pages() -> u64:
    """Pages on the list: MemAvailable counts them as good as free."""
    return lru.count.load_relaxed()
