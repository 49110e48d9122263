# SPDX-License-Identifier: Apache-2.0
"""Kernel stacks: 16 KiB each, in an area of their own, with an unmapped guard below every one.

A stack has a slot of 32 KiB; its upper half is mapped. Running off its lower end hits the guard: the processor raises a
double fault, which has a stack of its own, and the traceback is printed. Freed stacks stay mapped on a list (linked
through their first word) of at most CACHE_LIMIT, since most are wanted again at once (fork, exit); beyond it their
frames go back. Lock: interrupts off, as a dying task's stack may be freed by the scheduler.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import irq, paging
from kaa.lang import Array, u32, u64
from kaa.lang.unsafe import Ptr

STACK_SIZE = 16384
SLOT_SIZE = 32768
STACK_PAGES = 4
CACHE_LIMIT = 16
VACANT_LIMIT = 256


class StackArea:
    """Which slots are free: mapped ones on the chain `cached`, unmapped ones in `vacant` (both by their top
    addresses)."""

    cached: u64
    cached_count: u32
    next_slot: u64
    live: u64
    vacant: Array[u64, 256]
    vacant_count: u32

    def __init__(self) -> None:
        self.cached = u64(0)
        self.cached_count = u32(0)
        self.next_slot = u64(paging.STACK_AREA)
        self.live = u64(0)
        self.vacant = Array[u64, 256]()
        self.vacant_count = u32(0)


area = StackArea()


def is_guard(address: u64) -> bool:
    """True for an address below a stack, where no page is mapped."""
    if not paging.STACK_AREA <= address < area.next_slot:
        return False
    return (address - paging.STACK_AREA) % SLOT_SIZE < SLOT_SIZE - STACK_SIZE


def allocate_stack() -> u64:
    """A kernel stack; gives its top (one past its highest byte, 16-byte aligned). Raises MemoryError."""
    saved = irq.save()
    top = area.cached
    if top != 0:
        area.cached = Ptr[u64](top - 8)[0]
        area.cached_count -= 1
        area.live += 1
        irq.restore(saved)
        return top
    irq.restore(saved)
    return _map_stack()


def _map_stack() -> u64:
    """Give frames to a slot. Raises MemoryError, having taken nothing."""
    top = _take_slot()
    mapped: u64 = u64(0)
    try:
        while mapped < STACK_PAGES:
            _map_page(top - ((mapped + 1) << paging.PAGE_SHIFT))
            mapped += 1
    except MemoryError:
        _unmap_stack(top, mapped)
        raise
    area.live += 1
    return top


def _map_page(address: u64) -> None:
    """Map a fresh page at `address`. Raises MemoryError."""
    from kaa.kernel.mm import buddy

    pfn = buddy.allocate_pages(0)
    try:
        paging.map_kernel(address, pfn)
    except MemoryError:
        buddy.free_pages(pfn, 0)
        raise


def _take_slot() -> u64:
    """The top of a slot without frames."""
    saved = irq.save()
    if area.vacant_count != 0:
        area.vacant_count -= 1
        top = area.vacant[area.vacant_count]
    else:
        area.next_slot += SLOT_SIZE
        top = area.next_slot
    irq.restore(saved)
    return top


def _unmap_stack(top: u64, pages: u64) -> None:
    """Take the upper `pages` frames of the slot away and remember the slot; with VACANT_LIMIT of them remembered, it is
    lost: 32 KiB of an area of 256 GiB, after a failed allocation."""
    from kaa.kernel.mm import buddy

    for index in range(pages):
        pfn = paging.unmap_kernel(top - ((index + 1) << paging.PAGE_SHIFT))
        buddy.free_pages(pfn, 0)
    saved = irq.save()
    if area.vacant_count < VACANT_LIMIT:
        area.vacant[area.vacant_count] = top
        area.vacant_count += 1
    irq.restore(saved)


def free_stack(top: u64) -> None:
    """Give a stack back. Not the one in use. Its frames go back unless few stacks are cached, or too many slots are
    vacant."""
    saved = irq.save()
    area.live -= 1
    keep = area.cached_count < CACHE_LIMIT or area.vacant_count >= VACANT_LIMIT
    if keep:
        Ptr[u64](top - 8)[0] = area.cached
        area.cached = top
        area.cached_count += 1
    irq.restore(saved)
    if not keep:
        _unmap_stack(top, u64(STACK_PAGES))
