# SPDX-License-Identifier: Apache-2.0
"""Kernel stacks: 16 KiB each, in an area of their own, with an unmapped guard below every one.

A stack has a slot of 32 KiB; its upper half is mapped. Running off its lower end hits the guard: the processor raises a
double fault, which has a stack of its own, and the traceback is printed. Freed stacks stay mapped, since most are
wanted again at once (fork, exit): each processor keeps OWN_LIMIT (mm/per_cpu.py), whose lines its cache has, and a list
for all keeps CACHE_LIMIT, linked through their highest words; beyond that their frames go back.

The scheduler frees the stack of a dead task with interrupts off, so nobody can be asked then to forget the mapping. A
slot whose frames are gone is therefore `vacant`: nobody touches its addresses, and it is not mapped again before all
processors were told to forget, once for all slots that are vacant by then; those are `clean`. New slots are used first.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.arch.x86_64 import irq, paging, percpu
from kaa.kernel.locking.spinlock import LeafLock
from kaa.lang import Array, Atomic, Guarded, Relaxed, u32, u64
from kaa.lang.unsafe import Ptr

STACK_SIZE = 16384
SLOT_SIZE = 32768
FPU_ROOM = 2752
"""What the processor's registers take at most at the top of a task's stack: AVX-512, rounded (Intel SDM 1, 13.4.3)."""
TASK_STACK = STACK_SIZE - FPU_ROOM
TRAP_FRAME = 208
"""What an entry puts on the stack before compiled code runs: regs.Registers, two words, a return address, alignment."""
STACK_PAGES = 4
OWN_LIMIT = 2
CACHE_LIMIT = 16
VACANT_LIMIT = 256


class StackArea:
    """Which slots are free, all under `lock`: mapped ones on the chain `cached`, unmapped ones in `slots`, of which the
    first `clean` may be mapped again (all by their top addresses)."""

    lock: Final[LeafLock]
    cached: Guarded[u64, "lock"]
    cached_count: Guarded[u32, "lock"]
    next_slot: Atomic[u64]
    slots: Guarded[Array[u64, 256], "lock"]
    slot_count: Guarded[Relaxed[u32], "lock"]
    clean: Guarded[u32, "lock"]
    cleaning: Atomic[u32]
    """1 while somebody makes slots clean. Nobody takes or adds any then: there is neither a clean one nor room."""

    def __init__(self) -> None:
        self.lock = LeafLock("kernel stacks")
        self.cached = u64(0)
        self.cached_count = u32(0)
        self.next_slot = Atomic(paging.STACK_AREA)
        self.slots = Array[u64, 256]()
        self.slot_count = u32(0)
        self.clean = u32(0)
        self.cleaning = Atomic(0)


area = StackArea()


def is_guard(address: u64) -> bool:
    """True for an address below a stack, where no page is mapped."""
    if not paging.STACK_AREA <= address < area.next_slot.load_relaxed():
        return False
    return (address - paging.STACK_AREA) % SLOT_SIZE < SLOT_SIZE - STACK_SIZE


def allocate_stack() -> u64:
    """A kernel stack; gives its top (one past its highest byte, 16-byte aligned). Raises MemoryError."""
    flags = irq.save()
    top = percpu.here().stacks.pop()
    irq.restore(flags)
    if top == 0:
        top = _take_cached()
    if top == 0:
        top = _map_stack()
    return top


def _take_cached() -> u64:
    """A mapped stack of the list for all; 0: there is none."""
    area.lock.acquire()
    top = area.cached
    if top != 0:
        area.cached = Ptr[u64](top - 8)[0]
        area.cached_count -= 1
    area.lock.release()
    return top


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
    # A first look without the lock; _full looks with it.
    if irq.enabled() and area.slot_count == VACANT_LIMIT and area.cleaning.compare_exchange(0, 1):
        if _full():
            _clean()
        area.cleaning.store(0)
    area.lock.acquire()
    if area.clean != 0:
        area.clean -= 1
        area.slot_count -= 1
        top = area.slots[area.clean]
        area.slots[area.clean] = area.slots[area.slot_count]
    else:
        top = area.next_slot.fetch_add(SLOT_SIZE) + SLOT_SIZE
    area.lock.release()
    return top


def _full() -> bool:
    """Is there no room for more vacant slots, and none that is clean?"""
    area.lock.acquire()
    full = area.slot_count == VACANT_LIMIT and area.clean == 0
    area.lock.release()
    return full


def _clean() -> None:
    """Let all processors forget the vacant slots, which are as many as can be and stay so meanwhile."""
    paging.shoot_down_kernel()
    area.lock.acquire()
    area.clean = area.slot_count
    area.lock.release()


def _unmap_stack(top: u64, pages: u64) -> None:
    """Take the upper `pages` frames of the slot away and remember the slot; with VACANT_LIMIT of them remembered, it is
    lost: 32 KiB of an area of 256 GiB."""
    from kaa.kernel.mm import buddy

    for index in range(pages):
        pfn = paging.unmap_kernel(top - ((index + 1) << paging.PAGE_SHIFT))
        buddy.free_pages(pfn, 0)
    area.lock.acquire()
    if area.slot_count < VACANT_LIMIT:
        area.slots[area.slot_count] = top
        area.slot_count += 1
    area.lock.release()


def free_stack(top: u64) -> None:
    """Give a stack back. Not the one in use. Its frames go back unless few stacks are kept."""
    flags = irq.save()
    own = percpu.here().stacks
    if own.count < OWN_LIMIT:
        own.push(top)
    elif not _cache(top):
        _unmap_stack(top, u64(STACK_PAGES))
    irq.restore(flags)


def _cache(top: u64) -> bool:
    """Into the list for all, if there is room, or none to remember an unmapped one."""
    area.lock.acquire()
    keep = area.cached_count < CACHE_LIMIT or area.slot_count >= VACANT_LIMIT
    if keep:
        Ptr[u64](top - 8)[0] = area.cached
        area.cached = top
        area.cached_count += 1
    area.lock.release()
    return keep
