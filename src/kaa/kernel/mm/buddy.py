# SPDX-License-Identifier: Apache-2.0
"""The page allocator: blocks of 2^order frames, order 0 to 10 (Knuth, TAOCP vol. 1 §2.5, "buddy system").

Free blocks are linked, per order, through the descriptors of their first frames. A block's buddy is the block whose
number differs in bit `order`; when both are free they become one block of the next order. In front stands a small
stack of single frames, since nearly all requests are for one: it is filled from and emptied to the lists by whole
batches.

`reserve` frames are kept for those who free memory: interrupts and atomic sections may use half of it, a task that the
out-of-memory killer chose all of it. Who may sleep first tries `reclaim`. Frames come with refcount 1, contents
undefined.

Lock: `zone` (interrupts off). Nothing is called with it held.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.spinlock import LeafLock
from kaa.kernel.mm import fault_injection, frame, reclaim
from kaa.kernel.mm.frame import FREE, RESERVED, page
from kaa.lang import Array, cold, inline, noinline, trailing_zeros, u32, u64

ORDERS: Final = 11
MAX_ORDER: Final = 10
STACK_SIZE: Final = 64
BATCH_ORDER: Final = 4
BATCH: Final = 1 << BATCH_ORDER


class Zone(LeafLock):
    """All of memory; its own lock."""

    heads: Array[u32, 11]
    counts: Array[u32, 11]
    """Free blocks of each order."""
    occupied: u32
    """Bit n: there are free blocks of order n."""
    free: u64
    """Frames in the lists and on the stack."""
    total: u64
    """Frames the allocator manages, free or not."""
    reserve: u64
    stack: Array[u32, 64]
    depth: u32
    """Frames on the stack."""

    def __init__(self) -> None:
        super().__init__("zone")
        self.heads = Array[u32, 11]()
        self.counts = Array[u32, 11]()
        self.stack = Array[u32, 64]()
        self.occupied = 0
        self.free = 0
        self.total = 0
        self.reserve = 0
        self.depth = 0

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

    # -- the stack; under the lock

    def refill(self) -> u64:
        """Fill the stack by a batch (or, short of memory, by what there is) and take one frame of it; 0: none left."""
        order: u32 = BATCH_ORDER
        pfn = self.take(order)
        while pfn == 0 and order > 0:
            order -= 1
            pfn = self.take(order)
        if pfn == 0:
            return u64(0)
        extra = (u32(1) << order) - 1
        for index in range(extra):
            self.stack[index] = pfn + (extra - index)
        self.depth = extra
        return pfn

    def spill(self) -> None:
        """The stack is full: give the older half back to the lists."""
        half = STACK_SIZE // 2
        for index in range(half):
            self.give(u64(self.stack[index]), 0)
            self.stack[index] = self.stack[index + half]
        self.depth = STACK_SIZE - half

    def empty_stack(self) -> None:
        """Give the whole stack back: large blocks are wanted."""
        while self.depth > 0:
            self.depth -= 1
            self.give(u64(self.stack[self.depth]), 0)


zone = Zone()


# -- boot


def add_memory(first: u64, end: u64) -> None:
    """Hand frames [first, end) to the allocator, in the largest aligned blocks that fit. Frame 0 is kept out."""
    pfn = max(first, 1)
    while pfn < end:
        order: u32 = min(u32(trailing_zeros(pfn)), MAX_ORDER)
        while pfn + (u64(1) << order) > end:
            order -= 1
        size = u64(1) << order
        zone.give(pfn, order)
        zone.total += size
        zone.free += size
        pfn += size
    zone.reserve = max(u64(16), min(zone.total // 64, 1024))


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
    zone.acquire()
    pfn: u64 = 0
    if zone.free > zone.reserve:
        if zone.depth > 0:
            zone.depth -= 1
            pfn = u64(zone.stack[zone.depth])
        else:
            pfn = zone.refill()
        if pfn != 0:
            zone.free -= 1
    zone.release()
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
    pfn = _take(order, zone.reserve)
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
    if zone.free >= keep + size:
        pfn = zone.take(order)
        if pfn == 0 and zone.depth > 0:
            zone.empty_stack()
            pfn = zone.take(order)
        if pfn != 0:
            zone.free -= size
    zone.release()
    return pfn


@cold
@noinline
def _allocate_slowly(order: u32) -> u64:
    """Short of memory: reclaim if the caller may sleep, then what the caller may take of the reserve. Raises
    MemoryError."""
    keep = zone.reserve
    if reclaim.may_reclaim():
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
        keep = keep // 2
    pfn = _take(order, keep)
    if pfn == 0:
        raise MemoryError
    return pfn


def free_page(pfn: u64) -> None:
    """Give one frame back; nobody has a reference any more."""
    zone.acquire()
    if zone.depth == STACK_SIZE:
        zone.spill()
    page(pfn).flags.store_relaxed(0)
    zone.stack[zone.depth] = pfn
    zone.depth += 1
    zone.free += 1
    zone.release()


def free_pages(pfn: u64, order: u32) -> None:
    """Give a block back, whatever its refcount says: the caller knows that it is the last user."""
    if order == 0:
        free_page(pfn)
        return
    zone.acquire()
    page(pfn).flags.store_relaxed(0)
    zone.give(pfn, order)
    zone.free += u64(1) << order
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
        order: u32 = min(u32(trailing_zeros(pfn)), MAX_ORDER)
        while pfn + (u64(1) << order) > end:
            order -= 1
        free_pages(pfn, order)
        pfn += u64(1) << order


# -- accounts


def total_pages() -> u64:
    """Frames the allocator manages."""
    return zone.total


def free_pages_count() -> u64:
    """Frames free now."""
    return zone.free


def is_low() -> bool:
    """Less than twice the reserve is free: time to let go of caches."""
    return zone.free < 2 * zone.reserve


def might_satisfy(order: u32) -> bool:
    """Whether a block of this order is free, without touching the reserve. A guess: no lock is held."""
    return zone.free > zone.reserve + (u64(1) << order)


def local_interrupts_are_off() -> bool:
    """Whether the caller runs with interrupts off: for who may sleep."""
    return not machine.irq.enabled()
