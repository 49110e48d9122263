# SPDX-License-Identifier: Apache-2.0
"""Bytes on their way between two sockets: a ring over page frames that are allocated when first written.

Positions only grow until the ring is rewound; byte p is in slot (p >> 12) modulo the ring's slots. Rewound when empty,
a conversation of small messages stays in one frame, warm in the cache. The inbox's lock is held by every caller but
those of `used`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.mm import buddy, frame
from kaa.lang import Guarded, Relaxed, inline, u64, usize, wrapping_sub

if TYPE_CHECKING:
    from kaa.kernel.net.pieces import Pieces

PAGE = 4096
SLOTS = 128
CAPACITY = SLOTS * PAGE
"""Owners put in less: limits are below it."""
BULK = 16384
"""Whoever drains so much at a time is likely to be sent as much again: its frames are kept."""


class ByteRing:
    """First in, first out."""

    frames: Guarded[list[u64], "Inbox.lock"]
    """Frame of each slot used so far; 0 where none was needed yet."""
    head: Guarded[Relaxed[u64], "Inbox.lock"]
    tail: Guarded[Relaxed[u64], "Inbox.lock"]
    ready: bool = False
    """Whether the constructor got all it needs."""

    def __init__(self) -> None:
        self.frames = []
        self.head = 0
        self.tail = 0
        self.ready = True

    def __del__(self) -> None:
        if self.ready:
            self.trim(0)

    @inline
    def used(self) -> usize:
        """Bytes inside. Without the lock the two positions may be of different moments: then a number that was or
        might have been right, never more than CAPACITY."""
        count = wrapping_sub(self.tail, self.head)
        return count if count <= CAPACITY else usize(0)

    def trim(self, keep: usize) -> None:
        """Give back the frames of the slots from `keep` on; they hold nothing."""
        while len(self.frames) > keep:
            pfn = self.frames.pop()
            if pfn != 0:
                frame.put_page(pfn)

    def _frame(self, position: u64) -> u64:
        """The frame for a byte, allocated now if need be. Raises MemoryError."""
        slot = (position >> 12) & (SLOTS - 1)
        while len(self.frames) <= slot:
            self.frames.append(0)
        pfn = self.frames[slot]
        if pfn == 0:
            pfn = u64(buddy.allocate_page())
            self.frames[slot] = pfn
        return pfn

    def put(self, pieces: Pieces, count: usize) -> usize:
        """Append `count` bytes, which fit; how many were before a fault. Raises OSError(EFAULT), MemoryError when
        none was."""
        start = self.tail
        at = start
        end = start + count
        try:
            while at < end:
                within = at & (PAGE - 1)
                take = min(end - at, PAGE - within)
                pieces.copy_in(frame.contents(self._frame(at))[within : within + take])
                at += take
        except (OSError, MemoryError):
            if at == start:
                raise
        self.tail = at
        return at - start

    def copy_out(self, pieces: Pieces, offset: usize, count: usize) -> usize:
        """Copy `count` bytes from `offset` behind the oldest on; they stay. How many were copied before a fault.
        Raises OSError(EFAULT) when none was."""
        start = self.head + offset
        at = start
        end = start + count
        try:
            while at < end:
                within = at & (PAGE - 1)
                take = min(end - at, PAGE - within)
                pieces.copy_out(frame.contents(self.frames[(at >> 12) & (SLOTS - 1)])[within : within + take])
                at += take
        except OSError:
            if at == start:
                raise
        return at - start

    @inline
    def consume(self, count: usize) -> bool:
        """Drop the oldest bytes; whether none is left."""
        head = self.head + count
        self.head = head
        return head == self.tail

    def rewind(self, drained: usize) -> None:
        """The ring is empty and nobody remembers a position: start again in front. `drained`: how much just went."""
        self.head = 0
        self.tail = 0
        if drained < BULK and len(self.frames) > 1:
            self.trim(1)
