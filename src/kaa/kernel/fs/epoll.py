# SPDX-License-Identifier: Apache-2.0
"""epoll(7): a set of files that remembers which became ready.

An item stands for good on the wait queues of its file. When one is woken, `notify` (under that queue's lock, maybe in
an interrupt) puts the item at the end of the ready list and wakes who waits. epoll_wait asks only the items of that
list; level-triggered ones that still have something go back to its end.

An item is of a descriptor number and an open file: a number may mean another file by now, and then has an item for
each. It does not keep its file open: it holds the queues, and a weak reference to the file. An item whose file is gone
is dropped when it is met. A set inside a set is just a file that polls (epoll_nesting.py).

Locks: `lock` (mutex) for the items and for who asks them, an outer set's before an inner's; `ready_lock` (interrupts
off), inside the lock of whatever queue was woken, for the ready list and `EpollItem.next_ready` and `queued`.
"""

from __future__ import annotations

import errno
import weakref
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.epoll import EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, PRIVATE_BITS, EpollEvent
from kaa.kernel.abi.poll import POLLERR, POLLHUP, READABLE
from kaa.kernel.arch import machine
from kaa.kernel.fs.anonymous import anonymous_files, new_inode
from kaa.kernel.fs.epoll_item import EpollItem, EpollTable
from kaa.kernel.fs.file import File
from kaa.kernel.fs.poll import PollTable
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.kernel.mm.user import UserPtr
from kaa.lang import Bytes, Guarded, Relaxed, i32, inline, recursive, sizeof, trusted, u32, u64, wrapping_sub

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.mm.user import UserBuf

# What became of asking the first item.
NOTHING = 0
REPORTED = 1
END = 2
LAST = 3
"""Reported, and no other is in the list."""


class EpollSet:
    """Items by descriptor, and the ready ones in order."""

    lock: Final[Mutex]
    ready_lock: Final[IrqSpinLock]
    items: Guarded[dict[i32, EpollItem], "lock"]
    """The first item of each number."""
    first: Guarded[EpollItem | None, "ready_lock"] = None
    """An item leaves the list only under `lock` too: the first stays so for who holds that."""
    last: Guarded[EpollItem | None, "ready_lock"] = None
    ready: Guarded[Relaxed[u32], "ready_lock"] = 0
    """How many there are in the list."""
    waiting: Final[WaitQueue]
    holders: Guarded[list[weakref.ref[EpollItem]], "epoll_nesting.nesting"]
    """The items by which this set is in others."""
    calls: Guarded[u64, "lock"] = 0
    """Of `collect`."""

    def __init__(self) -> None:
        self.lock = Mutex("epoll")
        self.ready_lock = IrqSpinLock("epoll ready")
        self.items = {}
        self.waiting = WaitQueue("epoll")
        self.holders = []

    @recursive(6, "sets are nested at most epoll_nesting.DEPTH deep")
    @trusted("order", "the waiters of an outer set are woken under the inner's; epoll_nesting keeps circles out")
    def mark_ready(self, item: EpollItem) -> None:
        """To the end of the ready list, unless it is there; wakes who waits. Safe in interrupts."""
        with self.ready_lock:
            if item.queued.load_relaxed() or item.gone.load_relaxed() or item.wanted() == 0:
                return
            self._append(item)
        self.waiting.wake_all()

    def _append(self, item: EpollItem) -> None:
        item.queued.store_relaxed(True)
        self.ready += 1
        item.next_ready = None
        last = self.last
        if last is None:
            self.first = item
        else:
            last.next_ready = item
        self.last = item

    def take_first(self) -> EpollItem | None:
        """The longest ready item, off the list."""
        with self.ready_lock:
            item = self.first
            if item is not None:
                self.first = item.next_ready
                if self.first is None:
                    self.last = None
                item.next_ready = None
                item.queued.store_relaxed(False)
                self.ready -= 1
            return item

    def put_back(self, item: EpollItem) -> None:
        """A level-triggered item that still has something."""
        with self.ready_lock:
            if not item.queued.load_relaxed() and not item.gone.load_relaxed():
                self._append(item)

    def _rotate(self, item: EpollItem) -> None:
        """The first item, which still has something, goes behind the others."""
        with self.ready_lock:
            if item is self.first and item.next_ready is not None:
                self.first = item.next_ready
                self.ready -= 1
                self._append(item)

    def _first_ready(self) -> EpollItem | None:
        with self.ready_lock:
            return self.first

    def has_ready(self) -> bool:
        """Whether anything may be ready."""
        return self.ready > 0

    def add(self, fd: i32, file: File, events: u32, data: u64) -> EpollItem:
        """EPOLL_CTL_ADD. Raises FileExistsError, MemoryError."""
        with self.lock:
            if self._find(fd, file) is not None:
                raise FileExistsError
            item = EpollItem(self, fd, file, events | POLLERR | POLLHUP, data)
            item.next = self.items.get(fd)
            self.items[fd] = item
            try:
                if self._register(item, file) & item.events.load_relaxed():
                    self.mark_ready(item)
            except MemoryError:
                self._drop(item)
                raise
            return item

    def _register(self, item: EpollItem, file: File) -> u32:
        """Put the item on the file's queues; the events that hold now."""
        table = EpollTable(item)
        table.file = file
        item.generation = file.poll_generation.load_acquire()
        try:
            return file.poll(table)
        finally:
            item.waiters = table.waiters

    def _find(self, fd: i32, file: File) -> EpollItem | None:
        """The item of this number and file; those whose file is gone are dropped on the way."""
        item = self.items.get(fd)
        while item is not None:
            following = item.next
            known = item.file()
            if known is file:
                return item
            if known is None:
                self._drop(item)
            item = following
        return None

    def modify(self, fd: i32, file: File, events: u32, data: u64) -> None:
        """EPOLL_CTL_MOD. Raises FileNotFoundError; OSError(EINVAL) for an exclusive item."""
        with self.lock:
            item = self._known(fd, file)
            if (item.events.load_relaxed() | events) & EPOLLEXCLUSIVE:
                raise OSError(errno.EINVAL)
            item.events.store_relaxed(events | POLLERR | POLLHUP)
            item.data = data
            if file.poll(None) & item.events.load_relaxed():
                self.mark_ready(item)

    def remove(self, fd: i32, file: File) -> None:
        """EPOLL_CTL_DEL. Raises FileNotFoundError."""
        with self.lock:
            self._drop(self._known(fd, file))

    def _known(self, fd: i32, file: File) -> EpollItem:
        item = self._find(fd, file)
        if item is None:
            raise FileNotFoundError
        return item

    def _drop(self, item: EpollItem) -> None:
        item.leave()
        self._unchain(item)
        with self.ready_lock:
            if item.queued.load_relaxed():
                self._cut(item)

    def _unchain(self, item: EpollItem) -> None:
        before: EpollItem | None = None
        walker = self.items.get(item.fd)
        while walker is not None and walker is not item:
            before = walker
            walker = walker.next
        following = item.next
        if before is not None:
            before.next = following
        elif following is not None:
            self.items[item.fd] = following
        else:
            del self.items[item.fd]
        item.next = None

    def _cut(self, item: EpollItem) -> None:
        before: EpollItem | None = None
        walker = self.first
        while walker is not None and walker is not item:
            before = walker
            walker = walker.next_ready
        if before is None:
            self.first = item.next_ready
        else:
            before.next_ready = item.next_ready
        if self.last is item:
            self.last = before
        item.next_ready = None
        item.queued.store_relaxed(False)
        self.ready -= 1

    def collect(self, buf: UserBuf, maximum: u64) -> i32:
        """Copy out what is ready now, at most `maximum` events. Raises OSError(EFAULT) if not even one could be."""
        count: i32 = i32(0)
        with self.lock:
            self.calls += 1
            while u64(count) < maximum:
                outcome = self._report_first(buf, count)
                if outcome == END:
                    break
                count += i32(outcome & REPORTED)
                if outcome == LAST:
                    break
        return count

    @trusted("user", "collect is asked for no more events than the buffer holds")
    def _report_first(self, buf: UserBuf, count: i32) -> u32:
        """Ask the first item of the list; copy its event out if it has one. A level-triggered item stays on the list
        while it has something; an edge-triggered one leaves before it is asked, so that an edge from then on brings it
        back. END: the list is empty, or has gone round. LAST: it holds this one alone."""
        item = self._first_ready()
        if item is None or item.reported == self.calls:
            return u32(END)
        file = item.file()
        if file is None:
            self._drop(item)
            return u32(NOTHING)
        if item.events.load_relaxed() & (EPOLLET | EPOLLONESHOT):
            self.take_first()
        events = self._ask(item, file) & item.wanted()
        if events == 0:
            return self._quiet(item, file)
        event = EpollEvent(events, item.data)
        try:
            UserPtr[EpollEvent](buf.address).write_from(event)
            buf.skip(sizeof(EpollEvent))
        except OSError:
            self.put_back(item)
            if count == 0:
                raise
            return u32(END)
        item.reported = self.calls
        if item.events.load_relaxed() & EPOLLONESHOT:
            item.events.fetch_and(PRIVATE_BITS)
        elif self.ready > 1:
            self._rotate(item)
        elif item.queued.load_relaxed():
            return u32(LAST)
        return u32(REPORTED)

    def _ask(self, item: EpollItem, file: File) -> u32:
        """The file's events now; on its new queues first, where it has others than when the item was added."""
        if file.poll_generation.load_acquire() == item.generation:
            return file.poll(None)
        item.step_off()
        try:
            return self._register(item, file)
        except MemoryError:
            item.generation = wrapping_sub(file.poll_generation.load_relaxed(), u32(1))
            self.put_back(item)
            raise

    def _quiet(self, item: EpollItem, file: File) -> u32:
        """The item has nothing: off the list; and asked once more, for what came while it was still on it."""
        if self._first_ready() is item:
            self.take_first()
        if file.poll(None) & item.wanted():
            self.put_back(item)
        return u32(NOTHING)

    def clear(self) -> None:
        """The set is closed."""
        with self.lock:
            for first in self.items.values():
                item: EpollItem | None = first
                while item is not None:
                    item.leave()
                    item = item.next
            self.items.clear()
        while self.take_first() is not None:
            pass


class EpollFile(File):
    """The descriptor of a set. Its last close takes the set apart."""

    set: Final[EpollSet]
    node: Final[Inode]
    complete: bool = False
    """Whether `__init__` got to its end."""

    def __init__(self, flags: u32) -> None:
        super().__init__(None, flags)
        self.set = EpollSet()
        self.node = new_inode(anonymous_files, 0o600)
        self.complete = True

    def __del__(self) -> None:
        if self.complete:
            self.set.clear()
        super().__del__()

    def kind_name(self) -> Bytes:
        """For /proc/PID/fd."""
        return b"eventpoll"

    def inode(self) -> Inode | None:
        """A nameless one."""
        return self.node

    def poll(self, table: PollTable | None) -> u32:
        """Readable when some item is ready."""
        if table is not None:
            table.add(self.set.waiting)
        if self.set.has_ready() and self._any_ready():
            return u32(READABLE)
        return u32(0)

    @recursive(7, "sets are nested at most epoll_nesting.DEPTH deep")
    def _any_ready(self) -> bool:
        """The list may hold items that have nothing any more: look at each once."""
        with self.set.lock.nested():
            for first in self.set.items.values():
                item: EpollItem | None = first
                while item is not None:
                    if item.queued.load_relaxed():
                        file = item.file()
                        if file is not None and file.poll(None) & item.wanted():
                            return True
                    item = item.next
        return False


@inline
def current_set(fd: i32) -> EpollFile:
    """The set that `fd` is. Raises OSError(EBADF), OSError(EINVAL)."""
    file = machine.percpu.current().files.get(fd)
    if not isinstance(file, EpollFile):
        raise OSError(errno.EINVAL)
    return file
