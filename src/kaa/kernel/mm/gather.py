# SPDX-License-Identifier: Apache-2.0
"""Private frames that have left a page table, held back until no processor can reach them through an old translation.

Each processor has one, used under some address space's `table_lock`: entries are taken out and noted here, the TLBs are
shot down, and only then do the frames lose the references that the entries held. So a frame is never handed to anyone
else while a thread on another processor can still write to it (Black et al., "Translation Lookaside Buffer
Consistency", ASPLOS 1989).
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.mm import buddy, frame
from kaa.lang import Array, PerCpu, u32, u64

CAPACITY: Final = 496
"""With its header the object fills 2 KiB. Also how many entries are handled per hold of the lock."""
PIECE: Final = 124
"""Frames freed at once: interrupts are off for as long."""


class Gather:
    """The frames of one batch; preemption is off while they are noted, to the end of `give_up`."""

    frames: PerCpu[Array[u32, 496]]

    def __init__(self) -> None:
        self.frames = Array[u32, 496]()

    def give_up(self, writable: u32, read_only: u32) -> None:
        """Every processor has forgotten the entries: the references of the first `writable` frames end, most of which
        nobody else has, and those of the last `read_only`, most of which others have after a fork."""
        unused: u32 = 0
        for index in range(writable):
            pfn = u64(self.frames[index])
            # With the only reference in hand nobody can take another: no need to count down.
            if frame.refcount(pfn) == 1 or frame.drop_reference(pfn):
                self.frames[unused] = u32(pfn)
                unused += 1
        # To look first would fetch the count's line twice: to read, and again to write.
        for index in range(u32(CAPACITY) - read_only, u32(CAPACITY)):
            pfn = u64(self.frames[index])
            if frame.drop_reference(pfn):
                self.frames[unused] = u32(pfn)
                unused += 1
        first: u32 = 0
        while first < unused:
            stop = min(unused, first + PIECE)
            buddy.free_many(self.frames[first:stop])
            first = stop
