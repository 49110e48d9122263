# SPDX-License-Identifier: Apache-2.0
"""The page allocator: blocks of 2^order frames, order 0 to 10 (Knuth, TAOCP vol. 1 §2.5, "buddy system").

Free blocks are linked, per order, through the descriptors of their first frames. A block's buddy is the block whose
number differs in bit `order`; when both are free they become one block of the next order. In front stands, for each
processor, a small stack of single frames (per_cpu.py), since nearly all requests are for one: it is filled from and
emptied to the lists by whole batches.

`reserve` frames are kept for those who free memory: interrupts and atomic sections may use half of it, a task that the
out-of-memory killer chose all of it. Who may sleep first tries `reclaim`. Frames come with refcount 1, contents
undefined.

Locks: `zone` (interrupts off) for the lists; nothing is called with it held. Interrupts off for the processor's own
stack.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.spinlock import LeafLock
from kaa.kernel.mm import events, fault_injection, frame, reclaim
from kaa.kernel.mm.frame import FREE, RESERVED, page
from kaa.kernel.mm.per_cpu import FRAMES, FRAMES_AT_FIRST, PageLists
from kaa.lang import Array, Atomic, Slice, cold, guarded, inline, noinline, popcount, trailing_zeros, u32, u64

ORDERS: Final = 11
MAX_ORDER: Final = 10
BATCH_ORDER: Final = 4
BATCH: Final = 1 << BATCH_ORDER
LOW_FRAMES: Final = 0x100
"""Frames below this are the first mebibyte."""
ASIDE_RANGES: Final = 4


@guarded("self")
class Zone(LeafLock):
    """All of memory; its own lock."""

    heads: Array[u32, 11]
    counts: Array[u32, 11]
    """Free blocks of each order."""
    occupied: u32
    """Bit n: there are free blocks of order n."""
    free: Atomic[u64]
    """Frames in the lists. Changed under the lock, looked at without."""
    total: Atomic[u64]
    """Frames the allocator manages, free or not. Changes during boot only, as does `reserve`."""
    reserve: Atomic[u64]
    aside: Atomic[u64]
    """Frames that are set aside: free, and not in the lists."""
    aside_first: Array[u32, ASIDE_RANGES]
    aside_end: Array[u32, ASIDE_RANGES]
    aside_ranges: u32

    def __init__(self) -> None:
        super().__init__("zone")
        self.heads = Array[u32, 11]()
        self.counts = Array[u32, 11]()
        self.occupied = 0
        self.free = Atomic(0)
        self.total = Atomic(0)
        self.reserve = Atomic(0)
        self.aside = Atomic(0)
        self.aside_first = Array[u32, ASIDE_RANGES]()
        self.aside_end = Array[u32, ASIDE_RANGES]()
        self.aside_ranges = 0

    # -- the lists; under the lock

    def push(self, pfn: u64, order: u32) -> None:
        """Put a block on its list."""
        head = self.heads[order]
        first = page(pfn)
        first.flags.store_relaxed(FREE)
        first.order = order
        first.next = head
        first.previous = 0
        if head != 0:
            page(head).previous = pfn
        self.heads[order] = pfn
        self.counts[order] += 1
        self.occupied = self.occupied | (u32(1) << order)

    def remove(self, pfn: u64, order: u32) -> None:
        """Take a block out of its list."""
        first = page(pfn)
        following, previous = first.next, first.previous
        if previous == 0:
            self.heads[order] = following
            if following == 0:
                self.occupied = self.occupied & ~(u32(1) << order)
        else:
            page(previous).next = following
        if following != 0:
            page(following).previous = previous
        self.counts[order] -= 1
        first.flags.store_relaxed(0)

    def take(self, order: u32) -> u64:
        """A block, split off the smallest that is large enough; 0 when there is none."""
        candidates = self.occupied >> order
        if candidates == 0:
            return u64(0)
        found = order + trailing_zeros(candidates)
        pfn = u64(self.heads[found])
        self.remove(pfn, found)
        while found > order:
            found -= 1
            self.push(pfn + (u64(1) << found), found)
        return pfn

    def give(self, pfn: u64, order: u32) -> None:
        """Give a block back, merged with its buddy as often as that is free too."""
        limit = frame.frames.limit
        block = pfn
        size = order
        while size < MAX_ORDER:
            buddy = block ^ (u64(1) << size)
            if buddy >= limit:
                break
            other = page(buddy)
            if other.flags.load_relaxed() != FREE or other.order != size:
                break
            self.remove(buddy, size)
            block = min(block, buddy)
            size += 1
        self.push(block, size)

    def give_range(self, first: u64, end: u64) -> None:
        """Frames [first, end), in the largest aligned blocks that fit."""
        pfn = first
        while pfn < end:
            order = largest_order(pfn, end)
            self.give(pfn, order)
            pfn += u64(1) << order
        self.count_free(end - first)

    def set_aside(self, first: u64, end: u64) -> bool:
        """Keep frames for when memory is short. False: there is no room to remember them."""
        if self.aside_ranges == ASIDE_RANGES:
            return False
        self.aside_first[self.aside_ranges] = u32(first)
        self.aside_end[self.aside_ranges] = u32(end)
        self.aside_ranges += 1
        self.aside.fetch_add(end - first)
        return True

    def use_aside(self) -> None:
        """Put into the lists what was set aside."""
        while self.aside_ranges != 0:
            self.aside_ranges -= 1
            self.give_range(u64(self.aside_first[self.aside_ranges]), u64(self.aside_end[self.aside_ranges]))
        self.aside.store(0)

    @inline
    def count_free(self, frames: u64) -> None:
        """So many have come to the lists. Under the lock."""
        self.free.store_relaxed(self.free.load_relaxed() + frames)

    @inline
    def count_taken(self, frames: u64) -> None:
        """So many have left the lists. Under the lock."""
        self.free.store_relaxed(self.free.load_relaxed() - frames)

    # -- a processor's stack; interrupts are off

    @noinline
    def refill(self, lists: PageLists) -> u64:
        """Fill the (empty) stack by a batch, or, short of memory, by what there is above the reserve, and take one
        frame of it; 0: none left."""
        order: u32 = BATCH_ORDER
        pfn: u64 = 0
        self.acquire()
        while True:
            if self.free.load_relaxed() >= self.reserve.load_relaxed() + (u64(1) << order):
                pfn = self.take(order)
            if pfn != 0 or order == 0:
                break
            order -= 1
        if pfn != 0:
            self.count_taken(u64(1) << order)
        self.release()
        if pfn == 0:
            return u64(0)
        for other in range((u64(1) << order) - 1, u64(0), -1):
            lists.push(pfn + other)
        lists.most = frames_to_keep()
        return pfn

    @noinline
    def spill(self, lists: PageLists, frames: u32) -> None:
        """Give the oldest so many frames of a stack to the lists."""
        self.acquire()
        for _ in range(frames):
            self.give(lists.take_oldest(), 0)
        self.count_free(u64(frames))
        self.release()


zone = Zone()


def frames_to_keep() -> u32:
    """How many frames each processor may keep to itself: all together 1/64 of memory, if that is enough for any use."""
    share = zone.total.load_relaxed() // (64 * popcount(machine.smp.online_mask()))
    return u32(min(max(share, FRAMES_AT_FIRST), FRAMES))


# -- boot


def add_memory(first: u64, end: u64) -> None:
    """Hand frames [first, end) to the allocator; what lies in the first mebibyte only for when memory is short. Frame 0
    is kept out."""
    low_end = min(end, LOW_FRAMES)
    if first < low_end:
        _add(max(first, 1), low_end)
    if max(first, LOW_FRAMES) < end:
        _add(max(first, LOW_FRAMES), end)


def _add(first: u64, end: u64) -> None:
    if first == end:
        return
    zone.acquire()
    if first >= LOW_FRAMES or not zone.set_aside(first, end):
        zone.give_range(first, end)
    zone.total.fetch_add(end - first)
    zone.release()
    zone.reserve.store(max(u64(16), min(zone.total.load() // 64, 1024)))


@inline
def largest_order(pfn: u64, end: u64) -> u32:
    """Of the largest aligned block that begins at a frame and ends at another or before."""
    order: u32 = min(u32(trailing_zeros(pfn)), MAX_ORDER)
    while pfn + (u64(1) << order) > end:
        order -= 1
    return order


def reserve_memory(first: u64, end: u64) -> None:
    """Mark frames as never the allocator's: for /proc and for assertions. They were not added."""
    for pfn in range(first, end):
        frame.set_flags(pfn, RESERVED)


# -- allocation


@inline
def _first_use(pfn: u64, order: u32) -> None:
    """A block leaves the allocator: one reference, nothing else known of it."""
    descriptor = page(pfn)
    descriptor.refcount.store_relaxed(1)
    descriptor.mapcount = 0
    descriptor.flags.store_relaxed(0)
    descriptor.order = order
    descriptor.mapping = 0


def allocate_page() -> u64:
    """One frame, contents undefined, refcount 1. Raises MemoryError."""
    if fault_injection.armed() and fault_injection.should_fail():
        raise MemoryError
    flags = machine.irq.save()
    lists = machine.percpu.here().pages
    pfn = lists.pop()
    if pfn == 0:
        pfn = zone.refill(lists)
    machine.irq.restore(flags)
    if pfn == 0:
        pfn = _allocate_slowly(0)
    _first_use(pfn, 0)
    return pfn


def allocate_pages(order: u32) -> u64:
    """2^order frames in a row, aligned to their size, refcount 1 (of the first). Raises MemoryError."""
    if order == 0:
        return allocate_page()
    if order > MAX_ORDER or (fault_injection.armed() and fault_injection.should_fail()):
        raise MemoryError
    pfn = _take(order, zone.reserve.load_relaxed())
    if pfn == 0:
        pfn = _allocate_slowly(order)
    _first_use(pfn, order)
    return pfn


def allocate_zeroed() -> u64:
    """One frame full of zeroes. Raises MemoryError."""
    pfn = allocate_page()
    frame.clear(pfn)
    return pfn


def _take(order: u32, keep: u64) -> u64:
    """A block, leaving at least `keep` frames free; 0 when there is none."""
    size = u64(1) << order
    pfn: u64 = 0
    zone.acquire()
    if zone.free.load_relaxed() >= keep + size:
        pfn = zone.take(order)
        if pfn != 0:
            zone.count_taken(size)
    zone.release()
    return pfn


@cold
@noinline
def _allocate_slowly(order: u32) -> u64:
    """Short of memory: reclaim if the caller may sleep, then what the caller may take of the reserve. Raises
    MemoryError."""
    keep = zone.reserve.load_relaxed()
    if zone.aside.load_relaxed() != 0:
        zone.acquire()
        zone.use_aside()
        zone.release()
        pfn = _take(order, keep)
        if pfn != 0:
            return pfn
    if reclaim.may_reclaim():
        events.counts.stalls.fetch_add(1)
        drain_everywhere()
        pfn = _take(order, keep)
        if pfn != 0:
            return pfn
        for _ in range(4):
            freed = reclaim.free_some(u64(32) + (u64(1) << order))
            pfn = _take(order, keep)
            if pfn != 0:
                return pfn
            if freed == 0 and reclaim.free_mapped(u64(64)) == 0:
                break
        if reclaim.is_victim():
            keep = 0
    else:
        drain_here()
        keep = keep // 2
    pfn = _take(order, keep)
    if pfn == 0:
        raise MemoryError
    return pfn


# -- what processors keep for themselves


def drain_here() -> None:
    """Give all frames that this processor keeps to the lists: large blocks are wanted, or memory is short."""
    flags = machine.irq.save()
    lists = machine.percpu.here().pages
    if lists.depth() != 0:
        zone.spill(lists, lists.depth())
    machine.irq.restore(flags)


def _drain(unused: u64) -> None:
    from kaa.kernel.mm import slab

    slab.drain_here()
    drain_here()


@cold
def drain_everywhere() -> None:
    """Give all that processors keep, objects and frames, to the shared lists. The caller may sleep."""
    others = machine.smp.online_mask()
    if others != 1:
        machine.smp.call(others, _drain, u64(0))
    else:
        _drain(u64(0))


def free_page(pfn: u64) -> None:
    """Give one frame back; nobody has a reference any more."""
    flags = machine.irq.save()
    lists = machine.percpu.here().pages
    if lists.depth() >= lists.most:
        zone.spill(lists, lists.most // 2)
    page(pfn).flags.store_relaxed(0)
    lists.push(pfn)
    machine.irq.restore(flags)


def free_many(frames: Slice[u32]) -> None:
    """Give some single frames back; nobody has a reference any more."""
    flags = machine.irq.save()
    lists = machine.percpu.here().pages
    for pfn in frames:
        if lists.depth() >= lists.most:
            zone.spill(lists, lists.most // 2)
        page(u64(pfn)).flags.store_relaxed(0)
        lists.push(u64(pfn))
    machine.irq.restore(flags)


def free_pages(pfn: u64, order: u32) -> None:
    """Give a block back, whatever its refcount says: the caller knows that it is the last user."""
    if order == 0:
        free_page(pfn)
        return
    zone.acquire()
    page(pfn).flags.store_relaxed(0)
    zone.give(pfn, order)
    zone.count_free(u64(1) << order)
    zone.release()


def allocate_run(pages: u64) -> u64:
    """`pages` frames in a row, at most 1024: a power of two is taken and the rest given back. Raises MemoryError."""
    order: u32 = 0
    while (u64(1) << order) < pages:
        order += 1
    pfn = allocate_pages(order)
    free_run(pfn + pages, (u64(1) << order) - pages)
    return pfn


def free_run(first: u64, pages: u64) -> None:
    """Give frames in a row back, however they were allocated."""
    pfn = first
    end = first + pages
    while pfn < end:
        order = largest_order(pfn, end)
        free_pages(pfn, order)
        pfn += u64(1) << order


# -- accounts


def total_pages() -> u64:
    """Frames the allocator manages."""
    return zone.total.load_relaxed()


def free_pages_count() -> u64:
    """Frames free now, those that processors keep and those set aside included."""
    from kaa.kernel.sched import cpu

    total = zone.free.load_relaxed() + zone.aside.load_relaxed()
    machine.percpu.preempt_disable()
    for other in cpu.every():
        total += other.pages.depth()
    machine.percpu.preempt_enable()
    return total


def is_low() -> bool:
    """Less than twice the reserve is free: time to let go of caches."""
    return zone.free.load_relaxed() + zone.aside.load_relaxed() < 2 * zone.reserve.load_relaxed()


def might_satisfy(order: u32) -> bool:
    """Whether a block of this order is free, without touching the reserve. A guess: no lock is held."""
    return zone.free.load_relaxed() > zone.reserve.load_relaxed() + (u64(1) << order)


def local_interrupts_are_off() -> bool:
    """Whether the caller runs with interrupts off: for who may sleep."""
    return not machine.irq.enabled()
