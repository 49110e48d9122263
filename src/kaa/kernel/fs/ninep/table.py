# SPDX-License-Identifier: Apache-2.0
"""The inodes of a 9P file system that are alive, by the server's qid path: hard links and looked-up-again files meet
here.

The table does not own inodes: each slot refers to one weakly and goes when the inode dies. A slot whose inode is
dying is passed over and a second one for the same path made, so removal goes by slot, not by path. `lock` is a spin
lock; no reference is dropped under it.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final

from kaa.kernel.locking.spinlock import SpinLock
from kaa.lang import Array, Guarded, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.ninep.inode import NinepInode

BUCKETS = 256


class InodeSlot:
    """One entry."""

    key: Final[u64]
    inode: Final[weakref.ref[NinepInode]]
    next: Guarded[InodeSlot | None, "InodeTable.lock"] = None

    def __init__(self, key: u64, inode: NinepInode) -> None:
        self.key = key
        self.inode = weakref.ref(inode)


class InodeTable:
    """A hash table of slots."""

    lock: Final[SpinLock]
    buckets: Guarded[Array[InodeSlot | None, BUCKETS], "lock"]

    def __init__(self) -> None:
        self.lock = SpinLock("9p inodes")
        self.buckets = Array[InodeSlot | None, BUCKETS]()

    def find(self, key: u64) -> NinepInode | None:
        """The living inode with this qid path."""
        with self.lock:
            slot = self.buckets[key % BUCKETS]
            while slot is not None:
                if slot.key == key:
                    inode = slot.inode()
                    if inode is not None:
                        return inode
                slot = slot.next
        return None

    def add(self, inode: NinepInode) -> None:
        """Enter a new inode. Raises MemoryError."""
        slot = InodeSlot(inode.number, inode)
        bucket = slot.key % BUCKETS
        with self.lock:
            inode.slot = slot
            slot.next = self.buckets[bucket]
            self.buckets[bucket] = slot

    def remove(self, slot: InodeSlot) -> None:
        """The slot's inode dies; the caller holds the slot."""
        bucket = slot.key % BUCKETS
        with self.lock:
            before = self.buckets[bucket]
            if before is slot:
                self.buckets[bucket] = slot.next
                return
            while before is not None and before.next is not slot:
                before = before.next
            if before is not None:
                before.next = slot.next
