# SPDX-License-Identifier: Apache-2.0
"""Names, and the cache of them: (directory, name) to inode, or to the knowledge that there is none.

The cache owns the dentries in it; a dentry owns its parent. So an ancestor of anything is alive, '..' is a field, and
there is no ring. A dentry taken out of the cache (unlinked, evicted) lives as long as somebody holds it.
A negative dentry (inode None) answers ENOENT without asking the file system.

Lock: `cache.lock`, a wide spinlock (each processor reads under a word of its own), guards the chains and every
dentry's name, parent and mark bits; it is held over whole runs of components (namei.py), so that a path that is all in
the cache costs one lock. Dentries are dropped outside it, as that may release inodes. The lock of the parent's inode is
taken first. `inode` goes from None to an inode once, under both; what it has become it stays, so it may be read without
a lock.

Memory that is short takes unused dentries away (`reclaim`), least recently used first, roughly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.locking.wide_lock import WideLock
from kaa.kernel.mm import buddy
from kaa.lang import (
    Array,
    Atomic,
    Bytes,
    Guarded,
    Once,
    Relaxed,
    borrowed,
    inline,
    noinline,
    u32,
    u64,
    wrapping_add,
    wrapping_mul,
)

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.superblock import SuperBlock

BUCKETS = 2048
HASH_START = 0x811C9DC5
HASH_FACTOR = 0x01000193
"""FNV-1a's constants (Fowler, Noll, Vo), 32 bits wide."""
EVICT_BATCH = 64
STRIDE = 128
"""Buckets looked at while the lock is held."""
LEAST = 256
MOST = 20000


class Dentry:
    """One name in one directory. See the module's docstring for what guards the fields."""

    name: Guarded[bytes, "DentryCache.lock & Inode.lock"]
    """This and the next two: a rename holds the locks of both directories too."""
    hash: Guarded[u32, "DentryCache.lock & Inode.lock"]
    parent: Guarded[Dentry | None, "DentryCache.lock & Inode.lock"]
    inode: Guarded[Once[Inode | None], "DentryCache.lock"]
    next: Guarded[Dentry | None, "DentryCache.lock"] = None
    serial: Final[u32]
    pins: Atomic[u32]
    """Paths and mounts that hold it: never evicted while there are any."""
    children: Atomic[u32]
    mounts: Guarded[Relaxed[u32], "DentryCache.lock"] = 0
    """How many mounts sit on it, in whatever mount it is seen through."""
    hashed: Guarded[Relaxed[bool], "DentryCache.lock"] = False
    dead: Guarded[Relaxed[bool], "DentryCache.lock"] = False
    """Its name was taken away by unlink, rmdir or a rename over it."""
    evicted: Guarded[Relaxed[bool], "DentryCache.lock"] = False
    """Taken out of the cache though its name is there still: see `settle`."""
    recent: Relaxed[bool] = True

    def __init__(self, name: bytes, hash_: u32, parent: Dentry | None, inode: Inode | None) -> None:
        self.name = name
        self.hash = hash_
        self.parent = parent
        self.inode = inode
        self.serial = cache.serial.fetch_add(1)
        self.pins = Atomic(0)
        self.children = Atomic(0)
        if parent is not None:
            parent.children.fetch_add(1)

    def __del__(self) -> None:
        parent = self.parent
        if parent is not None:
            parent.children.fetch_sub(1)

    def parent_or_self(self) -> Dentry:
        """What '..' means inside its own file system."""
        parent = self.parent
        return self if parent is None else parent


@inline
def hash_step(hash_: u32, byte: u32) -> u32:
    """One more byte of a name (FNV-1a)."""
    return wrapping_mul(hash_ ^ byte, HASH_FACTOR)


class DentryCache:
    """All hashed dentries, by parent and name."""

    lock: Final[WideLock]
    buckets: Guarded[Array[Dentry | None, BUCKETS], "lock"]
    count: Guarded[Relaxed[u32], "lock"]
    limit: Relaxed[u32]
    """0 until the first insertion asks."""
    hand: Guarded[u32, "lock"]
    serial: Atomic[u32]

    def __init__(self) -> None:
        self.lock = WideLock("dentry cache")
        self.buckets = Array[Dentry | None, BUCKETS]()
        self.count = 0
        self.limit = 0
        self.hand = 0
        self.serial = Atomic(1)

    @inline
    def bucket(self, parent: Dentry, hash_: u32) -> u32:
        """Which chain: children of different parents with one name are spread by the parent's serial number."""
        mixed = wrapping_mul(wrapping_add(hash_, parent.serial), u32(0x9E3779B1))
        return mixed >> 21

    @borrowed
    def seek(self, parent: Dentry, name: Bytes, hash_: u32) -> Dentry | None:
        """As find_locked, for who looks at the dentry under the lock alone: it is not counted."""
        entry = self.buckets[self.bucket(parent, hash_)]
        while entry is not None:
            if entry.hash == hash_ and entry.parent is parent and entry.name == name:
                if not entry.recent:
                    entry.recent = True
                return entry
            entry = entry.next
        return None

    @noinline
    def find_locked(self, parent: Dentry, name: Bytes, hash_: u32) -> Dentry | None:
        """The dentry of `name` in `parent`, or None when the cache knows nothing. The lock is held."""
        return self.seek(parent, name, hash_)

    def find(self, parent: Dentry, name: Bytes, hash_: u32) -> Dentry | None:
        """As find_locked, taking the lock."""
        with self.lock.read():
            return self.find_locked(parent, name, hash_)

    def insert(self, dentry: Dentry) -> None:
        """Put a dentry in; its parent's inode lock is held, and the name is not there yet."""
        if self.count >= self.limit:
            self._at_limit()
        with self.lock:
            self._link(dentry)

    def _at_limit(self) -> None:
        """Make room; the first time, find out how much there may be: a dentry for every four pages of memory."""
        if self.limit == 0:
            self.limit = u32(max(u64(LEAST), min(u64(MOST), u64(buddy.total_pages()) // 4)))
        else:
            self.shrink(EVICT_BATCH)

    def _link(self, dentry: Dentry) -> None:
        parent = dentry.parent
        assert parent is not None and not dentry.hashed
        index = self.bucket(parent, dentry.hash)
        dentry.next = self.buckets[index]
        self.buckets[index] = dentry
        dentry.hashed = True
        self.count += 1

    def _unlink(self, dentry: Dentry) -> None:
        if not dentry.hashed:
            return
        parent = dentry.parent
        assert parent is not None
        index = self.bucket(parent, dentry.hash)
        before = self.buckets[index]
        if before is dentry:
            self.buckets[index] = dentry.next
        else:
            while before is not None and before.next is not dentry:
                before = before.next
            assert before is not None
            before.next = dentry.next
        dentry.next = None
        dentry.hashed = False
        self.count -= 1

    def settle(self, dentry: Dentry) -> Dentry:
        """A walk stands at a dentry that was evicted meanwhile: it goes back into the cache, unless another of its name
        is there by now; that is the one to stand at. The caller pins what it gets before it lets go of either."""
        with self.lock:
            parent = dentry.parent
            if dentry.dead or dentry.hashed or parent is None:
                dentry.evicted = False
                return dentry
            known = self.find_locked(parent, dentry.name, dentry.hash)
            if known is not None and known.inode is dentry.inode:
                return known
            if known is None:
                dentry.evicted = False
                self._link(dentry)
            return dentry

    def parent_of(self, dentry: Dentry) -> Dentry | None:
        """What it is in now; renames may change that at any time."""
        with self.lock.read():
            return dentry.parent

    def remove(self, dentry: Dentry) -> None:
        """The name is gone: out of the cache, and marked so for getcwd and /proc."""
        with self.lock:
            self._unlink(dentry)
            dentry.dead = True

    def forget(self, dentry: Dentry) -> None:
        """Out of the cache without saying that the name is gone."""
        with self.lock:
            self._unlink(dentry)

    def instantiate(self, dentry: Dentry, inode: Inode) -> None:
        """A negative dentry got its file."""
        with self.lock:
            dentry.inode = inode

    def move(self, dentry: Dentry, parent: Dentry, name: bytes, hash_: u32) -> None:
        """Rename: the dentry is from now on `name` in `parent`. Whatever was there has been removed."""
        old = dentry.parent
        assert old is not None
        with self.lock:
            self._unlink(dentry)
            dentry.name = name
            dentry.hash = hash_
            if old is not parent:
                parent.children.fetch_add(1)
                old.children.fetch_sub(1)
                dentry.parent = parent
            self._link(dentry)

    def exchange(self, one: Dentry, other: Dentry) -> None:
        """RENAME_EXCHANGE: two dentries swap their places."""
        one_parent = one.parent
        other_parent = other.parent
        assert one_parent is not None and other_parent is not None
        with self.lock:
            self._unlink(one)
            self._unlink(other)
            one_name = one.name
            one_hash = one.hash
            one.name = other.name
            one.hash = other.hash
            one.parent = other_parent
            other.name = one_name
            other.hash = one_hash
            other.parent = one_parent
            self._link(one)
            self._link(other)

    def shrink(self, wanted: u32) -> u32:
        """Evict up to `wanted` unused dentries by second chance (clock). Returns how many. Takes the lock."""
        freed: u32 = u32(0)
        looked: u32 = u32(0)
        while freed < wanted and looked < 2 * BUCKETS:
            victim, buckets = self._evict_one()
            looked += buckets
            if victim is not None:
                freed += 1
        return freed

    def _evict_one(self) -> tuple[Dentry | None, u32]:
        """A victim from the next STRIDE buckets, at most one of each, and how many were looked at. It is dropped by the
        caller, without the lock; who stands at it may have put it back by then (settle)."""
        with self.lock:
            for number in range(STRIDE):
                index = self.hand
                self.hand = (index + 1) % BUCKETS
                victim = self._victim_in(index)
                if victim is not None:
                    return victim, u32(number + 1)
        return None, u32(STRIDE)

    def _victim_in(self, index: u32) -> Dentry | None:
        """Take out the first entry of a chain that is neither recent nor in use; those before it are recent no more. A
        pin that came while the entry was taken out keeps it: who pins looks at `evicted` afterwards (settle)."""
        entry = self.buckets[index]
        while entry is not None:
            if entry.recent:
                entry.recent = False
            elif evictable(entry):
                entry.evicted = True
                if entry.pins.fetch_add(0) == 0 and entry.children.load() == 0:
                    self._unlink(entry)
                    return entry
                entry.evicted = False
            entry = entry.next
        return None

    def prune(self, parent: Dentry) -> None:
        """A directory is gone: so are the names in it, which can only be negative ones."""
        if parent.children.load_relaxed() != 0:
            self._clear(parent, None)

    def purge(self, superblock: SuperBlock) -> None:
        """Take out every dentry of a file system that goes away."""
        self._clear(None, superblock)

    def _clear(self, parent: Dentry | None, superblock: SuperBlock | None) -> None:
        """Take out the names in one directory, or those of one file system, and drop each without the lock."""
        at: u32 = u32(0)
        while at < BUCKETS:
            _, at = self._take_one(at, parent, superblock)

    def _take_one(self, start: u32, parent: Dentry | None, superblock: SuperBlock | None) -> tuple[Dentry | None, u32]:
        """The first of them in the STRIDE buckets from `start` on, taken out; and the bucket from which to go on."""
        end = min(start + STRIDE, u32(BUCKETS))
        with self.lock:
            for index in range(start, end):
                entry = self.buckets[index]
                while entry is not None:
                    if entry.parent is parent if superblock is None else belongs(entry, superblock):
                        self._unlink(entry)
                        return entry, u32(index)
                    entry = entry.next
        return None, end


def evictable(dentry: Dentry) -> bool:
    """Nobody holds it: no path, no child, no mount."""
    return dentry.pins.load_relaxed() == 0 and dentry.children.load_relaxed() == 0 and dentry.mounts == 0


def belongs(dentry: Dentry, superblock: SuperBlock) -> bool:
    """Whether the dentry is of `superblock`: by its inode, or a negative one by its parent's."""
    inode = dentry.inode
    if inode is not None:
        return inode.superblock is superblock
    parent = dentry.parent
    if parent is None:
        return False
    above = parent.inode
    return above is not None and above.superblock is superblock


cache = DentryCache()
