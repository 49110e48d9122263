# SPDX-License-Identifier: Apache-2.0
"""Fids: the numbers by which a 9P session names files, intro(5).

Giving up a fid must work anywhere and without memory, since it happens when an inode or a file dies: `FidTable` then
only threads the number onto a list, and the next request of the client sends the Tclunks without waiting for them.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.lang import Array, Atomic, Guarded, part, u32

if TYPE_CHECKING:
    from kaa.kernel.fs.ninep.client import Client

NONE = 0xFFFFFFFF
BLOCK = 256
BLOCKS = 256


@part
class FidBlock:
    """The links of 256 numbers in a row."""

    links: Array[u32, BLOCK]

    def __init__(self) -> None:
        self.links = Array[u32, BLOCK]()


class FidTable:
    """Numbers in use, free, and waiting to be clunked; blocks of links thread the latter two lists."""

    lock: Final[IrqSpinLock]
    blocks: Guarded[Array[FidBlock | None, BLOCKS], "lock"]
    count: Guarded[u32, "lock"] = 0
    """Numbers there are: all below have a link."""
    free: Guarded[u32, "lock"] = NONE
    dead: Atomic[u32]
    """Written under `lock`; every new request asks without it whether there are any."""

    def __init__(self) -> None:
        self.lock = IrqSpinLock("fids")
        self.blocks = Array[FidBlock | None, BLOCKS]()
        self.dead = Atomic(NONE)

    def link(self, number: u32) -> u32:
        """What follows `number` in its list."""
        block = self.blocks[number // BLOCK]
        assert block is not None
        return block.links[number % BLOCK]

    def set_link(self, number: u32, following: u32) -> None:
        """Let `following` come after `number`."""
        block = self.blocks[number // BLOCK]
        assert block is not None
        block.links[number % BLOCK] = following

    def allocate(self) -> u32:
        """A number nobody uses. Raises MemoryError, OSError(ENFILE)."""
        while True:
            number = self.try_allocate()
            if number != NONE:
                return number
            self.grow()

    def try_allocate(self) -> u32:
        """A number from the free list, or NONE."""
        with self.lock:
            number = self.free
            if number != NONE:
                self.free = self.link(number)
            return number

    def grow(self) -> None:
        """Make another block of numbers; memory is taken outside the lock."""
        block = FidBlock()
        with self.lock:
            if self.free != NONE:
                return
            if self.count == BLOCK * BLOCKS:
                raise OSError(errno.ENFILE)
            self.blocks[self.count // BLOCK] = block
            for number in range(self.count, self.count + BLOCK):
                block.links[number % BLOCK] = u32(number + 1)
            block.links[BLOCK - 1] = NONE
            self.free = self.count
            self.count += BLOCK

    def bury(self, number: u32) -> None:
        """The fid is no longer used here, but the server still knows it."""
        with self.lock:
            self.set_link(number, self.dead.load_relaxed())
            self.dead.store_relaxed(number)

    def exhume(self) -> u32:
        """A number that must be clunked, or NONE."""
        with self.lock:
            number = self.dead.load_relaxed()
            if number != NONE:
                self.dead.store_relaxed(self.link(number))
            return number

    def free_number(self, number: u32) -> None:
        """The server does not know the number (any more)."""
        with self.lock:
            self.set_link(number, self.free)
            self.free = number


class Fid:
    """One fid of the server; clunked when the last reference goes."""

    client: Final[Client]
    number: Final[u32]
    known: bool = False
    """Whether the server knows the number: set by the request that introduces it."""
    opened: Atomic[bool]

    def __init__(self, client: Client, number: u32) -> None:
        self.opened = Atomic(False)
        self.client = client
        self.number = number

    def __del__(self) -> None:
        if self.known:
            self.client.fids.bury(self.number)
        else:
            self.client.fids.free_number(self.number)


def new_fid(client: Client) -> Fid:
    """A fid that the server does not know yet. Raises MemoryError, OSError(ENFILE)."""
    number = client.fids.allocate()
    try:
        return Fid(client, number)
    except MemoryError:
        client.fids.free_number(number)
        raise
