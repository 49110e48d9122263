# SPDX-License-Identifier: Apache-2.0
"""One descriptor in a set of epoll(7), and where it stands. Locks: those of the set (epoll.py)."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.epoll import PRIVATE_BITS
from kaa.kernel.fs.poll import PollTable
from kaa.kernel.locking.wait_queue import Waiter, WaitQueue
from kaa.lang import Atomic, Guarded, guarded, i32, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.epoll import EpollSet
    from kaa.kernel.fs.file import File


class EpollWaiter(Waiter):
    """An item's place on one queue of its file. `item` makes a ring with the item's list, which `EpollItem.step_off`
    breaks."""

    item: Final[EpollItem]
    held: Final[WaitQueue]

    def __init__(self, item: EpollItem, queue: WaitQueue) -> None:
        super().__init__(None)
        self.item = item
        self.held = queue

    def notify(self) -> None:
        """The file may have become ready."""
        self.item.owner.mark_ready(self.item)


@guarded("EpollSet.lock")
class EpollItem:
    """One descriptor in the set: under the set's `lock`, but for the ready list."""

    owner: Final[EpollSet]
    fd: Final[i32]
    file: Final[weakref.ref[File]]
    events: Guarded[Atomic[u32], "EpollSet.lock"]
    """Also read by `mark_ready`."""
    data: u64
    waiters: list[EpollWaiter]
    next: EpollItem | None = None
    """Of the same descriptor number."""
    generation: u32 = 0
    """The file's when the item went on its queues."""
    next_ready: Guarded[EpollItem | None, "EpollSet.ready_lock"] = None
    queued: Guarded[Atomic[bool], "EpollSet.ready_lock"]
    gone: Guarded[Atomic[bool], "EpollSet.lock"]
    reported: u64 = 0
    """In which call of `collect` it was last."""

    def __init__(self, owner: EpollSet, fd: i32, file: File, events: u32, data: u64) -> None:
        self.owner = owner
        self.fd = fd
        self.file = weakref.ref(file)
        self.events = Atomic(events)
        self.data = data
        self.waiters = []
        self.queued = Atomic(False)
        self.gone = Atomic(False)

    def wanted(self) -> u32:
        """The events that are reported."""
        return self.events.load_relaxed() & (0xFFFFFFFF - PRIVATE_BITS)

    def leave(self) -> None:
        """Off all queues for good: nothing will be notified any more."""
        self.gone.store_relaxed(True)
        self.step_off()

    def step_off(self) -> None:
        """Off all queues. Once a queue let the waiter go, no `notify` of it is under way."""
        for waiter in self.waiters:
            waiter.held.remove(waiter)
        self.waiters.clear()


class EpollTable(PollTable):
    """What a file's `poll` registers an item with."""

    item: Final[EpollItem]
    waiters: list[EpollWaiter]
    """For the item, which keeps them."""

    def __init__(self, item: EpollItem) -> None:
        super().__init__()
        self.item = item
        self.waiters = []

    def add(self, queue: WaitQueue) -> None:
        """Stand on the queue for as long as the item is in the set."""
        waiter = EpollWaiter(self.item, queue)
        self.waiters.append(waiter)
        queue.add(waiter)
