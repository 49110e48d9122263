# SPDX-License-Identifier: Apache-2.0
"""Memory that devices read and write: whole page frames, contiguous, owned by one object."""

from __future__ import annotations

from typing import Final

from kaa.kernel.mm import buddy, frame
from kaa.lang import Slice, struct, u8, u32, u64, usize

PAGE_SIZE = 4096


@struct
class Segment:
    """A piece of a buffer as a device sees it: physical address and length in bytes."""

    address: u64 = 0
    length: u32 = 0


class DmaBuffer:
    """2**order page frames in a row, zeroed. Raises MemoryError; `pfn` is 0 then."""

    pfn: Final[u64]
    order: Final[u32]

    def __init__(self, order: u32) -> None:
        self.pfn = buddy.allocate_pages(order)
        self.order = order
        self.bytes().fill(0)

    def __del__(self) -> None:
        if self.pfn != 0:
            buddy.free_pages(self.pfn, self.order)

    def size(self) -> usize:
        """Length in bytes."""
        return usize(PAGE_SIZE) << self.order

    def physical(self) -> u64:
        """Where it is for devices."""
        return self.pfn * PAGE_SIZE

    def bytes(self) -> Slice[u8]:
        """Its contents, while the buffer lives."""
        return frame.block(self.pfn, u64(1) << self.order)
