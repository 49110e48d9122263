# SPDX-License-Identifier: Apache-2.0
"""What each processor keeps of memory for itself: some free frames, and free objects of each size (Bonwick and Adams,
"Magazines and Vmem", USENIX 2001). Used with interrupts off, by its processor alone: no lock, no locked instruction.

Who gives an object or a frame back keeps it, wherever it came from. What is too much goes to the shared lists by
batches, and all of it when memory is short (`buddy.drain_everywhere`).
"""

from __future__ import annotations

from typing import Final

from kaa.lang import Array, PerCpu, inline, u32, u64
from kaa.lang.unsafe import Ptr

FRAMES: Final = 64
"""Frames that a processor keeps at most."""
KINDS: Final = 22
"""Sizes of objects: slab.SIZES."""
CLASSES: Final = 512
"""Classes whose live instances each processor counts by itself."""


class PageLists:
    """Free frames, the one freed last on top."""

    frames: PerCpu[Array[u32, 64]]
    depth: u32

    def __init__(self) -> None:
        self.frames = Array[u32, 64]()
        self.depth = 0


class ObjectLists:
    """Free objects, linked through their first words, and counts. A count is a difference, modulo 2^32 or 2^64: an
    instance made on one processor may be dropped on another; only the sum over all processors says anything."""

    heads: PerCpu[Array[u64, 22]]
    counts: PerCpu[Array[u32, 22]]
    live: Array[u32, 512]
    buffers: u64
    bytes: u64

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
