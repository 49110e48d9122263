# SPDX-License-Identifier: Apache-2.0
"""Advisory locks on a file: POSIX record locks (of a process), open-file-description locks, flock(2) locks.

One list per inode, made when first needed, of all three kinds; ranges of one owner and kind are kept disjoint and
merged. A waiter looks again whenever anything is released. Deadlock among POSIX locks is found by following who waits
for whom.

Lock: `lock` of the list, a mutex; the list lives as long as the inode, whose `locks` is set once, under its lock. Every
close(2) asks without it whether it was.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import F_RDLCK, F_WRLCK, MAX_FILE_SIZE
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.lang import Atomic, Guarded, i32, part, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode

POSIX = 0
OPEN_FILE = 1
FLOCK = 2
END = MAX_FILE_SIZE


@part
class Lock:
    """[start, end] inclusive. `owner` is a process id (POSIX) or a number of the open file."""

    kind: u32
    owner: u64
    pid: i32
    exclusive: bool
    start: u64
    end: u64

    def __init__(self, kind: u32, owner: u64, pid: i32, exclusive: bool, start: u64, end: u64) -> None:
        self.kind = kind
        self.owner = owner
        self.pid = pid
        self.exclusive = exclusive
        self.start = start
        self.end = end

    def conflicts(self, other: Lock) -> bool:
        """Whether both cannot be held: overlap, different owners, one exclusive. flock's are apart from the others."""
        if (self.kind == FLOCK) != (other.kind == FLOCK):
            return False
        if self.owner == other.owner and self.kind == other.kind:
            return False
        return (self.exclusive or other.exclusive) and self.start <= other.end and other.start <= self.end


class LockList:
    """The locks of one inode."""

    lock: Final[Mutex]
    released: Final[WaitQueue]
    held: Guarded[list[Lock], "lock"]
    generation: Guarded[Atomic[u64], "lock"]
    """Counts releases: what waiters watch."""

    def __init__(self) -> None:
        self.lock = Mutex("file locks")
        self.released = WaitQueue("file locks")
        self.held = []
        self.generation = Atomic(0)

    def blocker(self, wanted: Lock) -> Lock | None:
        """Of the locks that stand in the way the one that starts first."""
        found: Lock | None = None
        for lock in self.held:
            if lock.conflicts(wanted) and (found is None or lock.start < found.start):
                found = lock
        return found

    def set(self, wanted: Lock) -> None:
        """Take the lock: what the owner holds in the range is replaced. Nothing stands in the way. Raises MemoryError
        before anything has changed."""
        fresh = self.without(wanted.kind, wanted.owner, wanted.start, wanted.end)
        self.absorb(fresh, wanted)
        fresh.append(wanted)
        self.held = fresh
        self.told()

    def clear(self, kind: u32, owner: u64, start: u64, end: u64) -> None:
        """Release the range. Raises MemoryError only where a lock is split in two: closing never fails."""
        if self.splits(kind, owner, start, end):
            self.held = self.without(kind, owner, start, end)
        else:
            self.trim(kind, owner, start, end)
        self.told()

    def splits(self, kind: u32, owner: u64, start: u64, end: u64) -> bool:
        """Whether a lock of that owner reaches beyond the range at both ends."""
        for lock in self.held:
            if lock.kind == kind and lock.owner == owner and lock.start < start and lock.end > end:
                return True
        return False

    def trim(self, kind: u32, owner: u64, start: u64, end: u64) -> None:
        """Cut the range out, in place."""
        index: usize = usize(0)
        while index < len(self.held):
            lock = self.held[index]
            if lock.kind != kind or lock.owner != owner or lock.end < start or lock.start > end:
                index += 1
            elif lock.start >= start and lock.end <= end:
                self.held.pop(index)
            else:
                if lock.start < start:
                    lock.end = start - 1
                else:
                    lock.start = end + 1
                index += 1

    def told(self) -> None:
        """Wake waiters."""
        self.generation.fetch_add(1)
        self.released.wake_all()

    def without(self, kind: u32, owner: u64, start: u64, end: u64) -> list[Lock]:
        """A copy of the list with [start, end] of that owner cut out."""
        rest: list[Lock] = []
        for lock in self.held:
            if lock.kind != kind or lock.owner != owner or lock.end < start or lock.start > end:
                rest.append(lock)
                continue
            if lock.start < start:
                rest.append(Lock(kind, owner, lock.pid, lock.exclusive, lock.start, start - 1))
            if lock.end > end:
                rest.append(Lock(kind, owner, lock.pid, lock.exclusive, end + 1, lock.end))
        return rest

    def absorb(self, locks: list[Lock], wanted: Lock) -> None:
        """Merge neighbours of the same owner and mode into `wanted`."""
        index: usize = usize(0)
        while index < len(locks):
            lock = locks[index]
            same = lock.kind == wanted.kind and lock.owner == wanted.owner and lock.exclusive == wanted.exclusive
            if same and lock.end + 1 == wanted.start:
                wanted.start = lock.start
                locks.pop(index)
            elif same and wanted.end != u64(END) and wanted.end + 1 == lock.start:
                wanted.end = lock.end
                locks.pop(index)
            else:
                index += 1

    def owns_any(self, kind: u32, owner: u64) -> bool:
        """Whether that owner has a lock here."""
        for lock in self.held:
            if lock.kind == kind and lock.owner == owner:
                return True
        return False


class Wait:
    """A process that waits for another's POSIX lock."""

    pid: i32
    on: i32

    def __init__(self, pid: i32, on: i32) -> None:
        self.pid = pid
        self.on = on


class WaitGraph:
    """All waits for POSIX locks, to find deadlock (fcntl(2): EDEADLK)."""

    lock: Final[Mutex]
    waits: Guarded[list[Wait], "lock"]

    def __init__(self) -> None:
        self.lock = Mutex("lock waits")
        self.waits = []

    def add(self, pid: i32, on: i32) -> Wait:
        """Note a wait. Raises OSError(EDEADLK) when it closes a circle."""
        with self.lock:
            next_pid = on
            for _ in range(len(self.waits) + 1):
                if next_pid == pid:
                    raise OSError(errno.EDEADLK)
                next_pid = self._waits_on(next_pid)
            wait = Wait(pid, on)
            self.waits.append(wait)
            return wait

    def _waits_on(self, pid: i32) -> i32:
        for wait in self.waits:
            if wait.pid == pid:
                return wait.on
        return i32(-1)

    def remove(self, wait: Wait) -> None:
        """The wait is over."""
        with self.lock:
            self.waits.remove(wait)


graph = WaitGraph()


def locks_of(inode: Inode) -> LockList:
    """The inode's list, made now if need be. Raises MemoryError."""
    with inode.lock:
        locks = inode.locks
        if locks is None:
            locks = LockList()
            inode.locks = locks
        return locks


def acquire(inode: Inode, wanted: Lock, waits: bool) -> None:
    """Take a lock. Raises BlockingIOError when it is held and `waits` is False, Restart, OSError(EDEADLK),
    MemoryError."""
    locks = locks_of(inode)
    while True:
        with locks.lock:
            blocker = locks.blocker(wanted)
            if blocker is None:
                locks.set(wanted)
                return
            seen = locks.generation.load_relaxed()
            holder = blocker.pid
        if not waits:
            raise BlockingIOError
        if wanted.kind == POSIX:
            wait = graph.add(wanted.pid, holder)
            try:
                locks.released.wait_interruptible(lambda: locks.generation.load_acquire() != seen)
            finally:
                graph.remove(wait)
        else:
            locks.released.wait_interruptible(lambda: locks.generation.load_acquire() != seen)


def release(inode: Inode, kind: u32, owner: u64, start: u64, end: u64) -> None:
    """Give a range back; nothing happens if it is not held."""
    locks = inode.locks
    if locks is not None:
        with locks.lock:
            locks.clear(kind, owner, start, end)


def release_process_locks(inode: Inode, pid: i32) -> None:
    """A process closed some descriptor of the file: all its record locks on it go (POSIX)."""
    locks = inode.locks
    if locks is not None:
        with locks.lock:
            if locks.owns_any(POSIX, u64(pid)):
                locks.clear(POSIX, u64(pid), u64(0), u64(END))


def type_number(lock: Lock) -> i32:
    """F_RDLCK or F_WRLCK."""
    return i32(F_WRLCK) if lock.exclusive else i32(F_RDLCK)
