# SPDX-License-Identifier: Apache-2.0
"""What each processor keeps of memory for itself: some free frames, free objects of each size and a few kernel stacks
(Bonwick and Adams, "Magazines and Vmem", USENIX 2001). Used with interrupts off, by its processor alone: no lock, no
locked instruction.

Who gives an object or a frame back keeps it, wherever it came from. What is too much goes to the shared lists by
batches, and all of it when memory is short (`buddy.drain_everywhere`). Only who adds a count up over all processors
looks at another's, which may be changing: preemption is off meanwhile, so that the sum is of one moment, nearly.
"""

from __future__ import annotations

from typing import Final

from kaa.lang import Array, PerCpu, Relaxed, inline, u32, u64, wrapping_add, wrapping_sub
from kaa.lang.unsafe import Ptr

FRAMES: Final = 256
"""Frames that a processor keeps at most, on a machine with memory enough; a power of two."""
FRAMES_AT_FIRST: Final = 64
KINDS: Final = 22
"""Sizes of objects: slab.SIZES."""
CLASSES: Final = 512
"""Classes whose live instances each processor counts by itself."""


class PageLists:
    """Free frames: who wants one gets the one freed last, and the oldest go back first. A ring: `top` and `bottom`
    count on for ever, modulo 2^32."""

    frames: PerCpu[Array[u32, FRAMES]]
    top: PerCpu[Relaxed[u32]]
    bottom: PerCpu[Relaxed[u32]]
    most: PerCpu[u32]
    """As many frames are kept at most: by the size of memory (`Zone.refill`)."""

    def __init__(self) -> None:
        self.frames = Array[u32, FRAMES]()
        self.top = 0
        self.bottom = 0
        self.most = FRAMES_AT_FIRST

    @inline
    def depth(self) -> u32:
        """How many there are."""
        return wrapping_sub(self.top, self.bottom)

    @inline
    def push(self, pfn: u64) -> None:
        """Keep a frame; there is room. Interrupts are off, as for what follows."""
        top = self.top
        self.frames[top & (FRAMES - 1)] = u32(pfn)
        self.top = wrapping_add(top, 1)

    @inline
    def pop(self) -> u64:
        """The frame freed last; 0: there is none."""
        if self.top == self.bottom:
            return u64(0)
        top = wrapping_sub(self.top, 1)
        self.top = top
        return u64(self.frames[top & (FRAMES - 1)])

    @inline
    def take_oldest(self) -> u64:
        """The frame freed first, of those that are there."""
        bottom = self.bottom
        self.bottom = wrapping_add(bottom, 1)
        return u64(self.frames[bottom & (FRAMES - 1)])


class ObjectLists:
    """Free objects, linked through their first words, and counts. A count is a difference, modulo 2^32 or 2^64: an
    instance made on one processor may be dropped on another; only the sum over all processors says anything."""

    heads: PerCpu[Array[u64, 22]]
    counts: PerCpu[Array[u32, 22]]
    live: PerCpu[Array[u32, 512]]
    buffers: PerCpu[u64]
    bytes: PerCpu[u64]

    def __init__(self) -> None:
        self.heads = Array[u64, 22]()
        self.counts = Array[u32, 22]()
        self.live = Array[u32, 512]()
        self.buffers = 0
        self.bytes = 0

    @inline
    def pop(self, kind: u32) -> u64:
        """A free object; 0: there is none. Interrupts are off."""
        item = self.heads[kind]
        if item != 0:
            self.heads[kind] = Ptr[u64](item)[0]
            self.counts[kind] = self.counts[kind] - 1
        return item

    @inline
    def push(self, kind: u32, item: u64) -> u32:
        """Keep an object that is free now; gives how many there are. Interrupts are off."""
        Ptr[u64](item)[0] = self.heads[kind]
        self.heads[kind] = item
        count = self.counts[kind] + 1
        self.counts[kind] = count
        return count


class StackList:
    """Free kernel stacks, each linked through its highest word."""

    newest: PerCpu[u64]
    """The top of the one freed last; 0: there is none."""
    count: PerCpu[u32]

    def __init__(self) -> None:
        self.newest = 0
        self.count = 0

    @inline
    def pop(self) -> u64:
        """The top of the stack freed last; 0: there is none. Interrupts are off."""
        top = self.newest
        if top != 0:
            self.newest = Ptr[u64](top - 8)[0]
            self.count -= 1
        return top

    @inline
    def push(self, top: u64) -> None:
        """Keep a stack that is free now. Interrupts are off."""
        Ptr[u64](top - 8)[0] = self.newest
        self.newest = top
        self.count += 1
