# SPDX-License-Identifier: Apache-2.0
"""Frames that have left a page table, held back until no processor can reach them through an old translation.

Each processor has one, used under some address space's `table_lock`: entries are taken out and noted here, the TLBs are
shot down, and only then do the frames lose the references that the entries held. So a frame is never handed to anyone
else while a thread on another processor can still write to it (Black et al., "Translation Lookaside Buffer
Consistency", ASPLOS 1989).
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.mm import buddy, frame
from kaa.lang import Array, inline, u32, u64

CAPACITY: Final = 496
"""With its header the object fills 2 KiB. Also how many entries are handled per hold of the lock."""


class Gather:
    """The frames of one batch; preemption is off from the first `add` to `give_up`."""

    frames: Array[u32, 496]
    count: u32

    def __init__(self) -> None:
        self.frames = Array[u32, 496]()
        self.count = 0

    @inline
    def add(self, pfn: u64) -> None:
        """A frame whose entry is gone."""
        self.frames[self.count] = pfn
        self.count += 1

    def give_up(self) -> None:
        """Every processor has forgotten the entries: their references end."""
        for index in range(self.count):
            pfn = u64(self.frames[index])
            # With the only reference in hand nobody can take another: no need to count down.
            if frame.refcount(pfn) == 1 or frame.drop_reference(pfn):
                buddy.free_page(pfn)
        self.count = 0
