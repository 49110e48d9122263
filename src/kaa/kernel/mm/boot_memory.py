# SPDX-License-Identifier: Apache-2.0
"""From the firmware's memory map to a working page allocator.

`init` tells which physical ranges are RAM (`add`) and which of them are taken: the kernel's image, the initrd, the boot
information (`reserve`). It may `take` memory for its first page tables. `initialise` then places the table of frame
descriptors, sized by the highest frame, and hands the rest to the buddy allocator. Ranges are few: a sorted array does.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.mm import buddy, frame, slab
from kaa.kernel.mm.frame import DESCRIPTOR_SIZE, PAGE_SHIFT, PAGE_SIZE
from kaa.lang import Array, owned, u32, u64

MAX_RANGES: Final = 64


@owned
class Ranges:
    """Free physical memory during boot, when there is one processor and no task: disjoint page-aligned [start, end),
    ascending."""

    starts: Array[u64, 64]
    ends: Array[u64, 64]
    count: u32

    def __init__(self) -> None:
        self.starts = Array[u64, 64]()
        self.ends = Array[u64, 64]()
        self.count = 0

    def insert(self, at: u32, start: u64, end: u64) -> None:
        """Put a range before the one at `at`. A map with more ranges than fit loses the last: memory unused, not
        unsafe."""
        if self.count == MAX_RANGES:
            self.count -= 1
        if at > self.count:
            return
        position = self.count
        while position > at:
            self.starts[position] = self.starts[position - 1]
            self.ends[position] = self.ends[position - 1]
            position -= 1
        self.starts[at] = start
        self.ends[at] = end
        self.count += 1

    def delete(self, at: u32) -> None:
        """Forget a range."""
        self.count -= 1
        for position in range(at, self.count):
            self.starts[position] = self.starts[position + 1]
            self.ends[position] = self.ends[position + 1]


usable = Ranges()


def add(start: u64, end: u64) -> None:
    """[start, end) is RAM, by the firmware. Shrunk to whole pages; what was added before is not added twice."""
    first = (start + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1)
    last = end & ~(PAGE_SIZE - 1)
    if first >= last:
        return
    reserve(first, last)
    at: u32 = 0
    while at < usable.count and usable.starts[at] < first:
        at += 1
    usable.insert(at, first, last)


def reserve(start: u64, end: u64) -> None:
    """[start, end), grown to whole pages, is in use and never the allocator's."""
    first = start & ~(PAGE_SIZE - 1)
    last = (end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1)
    at: u32 = 0
    while at < usable.count:
        low, high = usable.starts[at], usable.ends[at]
        if high <= first or low >= last:
            at += 1
            continue
        usable.delete(at)
        if last < high:
            usable.insert(at, last, high)
        if low < first:
            usable.insert(at, low, first)
            at += 1


def take(size: u64, below: u64) -> u64:
    """Physical address of `size` bytes (whole pages), contents undefined, from the top of the lowest range that has
    room under `below`. 0 when there is none."""
    wanted = (size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1)
    for at in range(usable.count):
        low, high = usable.starts[at], min(usable.ends[at], below)
        if low >= 0x10_0000 and high >= low + wanted:
            reserve(high - wanted, high)
            return u64(high - wanted)
    return u64(0)


def take_below(size: u64, lowest: u64, end: u64) -> u64:
    """Physical address of `size` bytes (whole pages) within [lowest, end), contents undefined; 0 when there is none."""
    for at in range(usable.count):
        low, high = max(usable.starts[at], lowest), min(usable.ends[at], end)
        if high >= low + size:
            reserve(high - size, high)
            return u64(high - size)
    return u64(0)


def highest() -> u64:
    """The end of the highest range."""
    return u64(0) if usable.count == 0 else usable.ends[usable.count - 1]


def initialise() -> None:
    """Make the frame table and fill the allocator. The direct map covers all of `usable` by now."""
    limit = highest() >> PAGE_SHIFT
    table = take(limit * DESCRIPTOR_SIZE, highest())
    assert table != 0, "not enough memory for the table of page frames"
    frame.install_table(machine.paging.direct_map(table), limit)
    for at in range(usable.count):
        buddy.add_memory(usable.starts[at] >> PAGE_SHIFT, usable.ends[at] >> PAGE_SHIFT)
    slab.keep_more()


def give_back(start: u64, end: u64) -> None:
    """A reserved range is no longer needed (the unpacked initrd): whole pages inside it become free memory."""
    first = (start + PAGE_SIZE - 1) >> PAGE_SHIFT
    last = min(end >> PAGE_SHIFT, frame.frames.limit)
    if first < last:
        buddy.add_memory(first, last)
