# SPDX-License-Identifier: Apache-2.0
"""Mounts: which file system, or part of one, is seen at which place.

Lock: the dentry cache's lock guards the table, every `Dentry.mounts`, and each mount's place, so that a walk crosses
mounts under the one lock it has. `change`, a mutex, is held over a whole mount, unmount or move, and taken first: who
holds it reads all of these without the other. The lock of the inode that is covered is held while it becomes so: what
takes its name away holds that too.
A mount owns its parent and the dentry it stands on; `table` owns all mounts that are attached, and the users of a mount
(standing.py) together hold it.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.mount import PER_MOUNT
from kaa.kernel.fs import mount_users
from kaa.kernel.fs.dentry import Dentry, cache
from kaa.kernel.fs.path import Path
from kaa.kernel.fs.standing import hold, let_go
from kaa.kernel.locking.mutex import Mutex
from kaa.lang import Array, Atomic, Guarded, borrowed, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.superblock import SuperBlock


class Mount:
    """One mount. `parent` and `point` are None for the root of all and for internal mounts."""

    users: Atomic[u32]
    """Paths that are in it (open files, working directories), walks, and the table; while they have a sum, not all
    of them: mount_users.py."""
    children: Guarded[u32, "DentryCache.lock & MountTable.change"] = 0
    apart: Final[Array[u64, 5]]
    """Fills the cache line: `users` may be written all the time, what follows is read by everyone and hardly ever
    written."""
    counted_at: Atomic[u64]
    """The sum in which processors count users; NOWHERE: there is none."""
    superblock: Final[SuperBlock]
    root: Final[Dentry]
    source: Final[bytes]
    number: Final[u32]
    flags: u64
    parent: Guarded[Mount | None, "DentryCache.lock & MountTable.change"] = None
    point: Guarded[Dentry | None, "DentryCache.lock & MountTable.change"] = None

    def __init__(self, superblock: SuperBlock, root: Dentry, source: bytes, flags: u64) -> None:
        self.apart = Array[u64, 5]()
        self.superblock = superblock
        self.root = root
        self.source = source
        self.flags = flags & PER_MOUNT
        self.number = table.numbers.fetch_add(1)
        self.users = Atomic(0)
        self.counted_at = Atomic(mount_users.NOWHERE)
        root.pins.fetch_add(1)
        superblock.mounts.fetch_add(1)

    def __del__(self) -> None:
        self.root.pins.fetch_sub(1)
        if self.superblock.mounts.fetch_sub(1) == 1:
            cache.purge(self.superblock)
            self.superblock.shutdown()


class MountTable:
    """All attached mounts, oldest first."""

    change: Final[Mutex]
    mounts: Guarded[list[Mount], "DentryCache.lock & change"]
    root: Mount | None = None
    numbers: Atomic[u32]

    def __init__(self) -> None:
        self.change = Mutex("mount table")
        self.mounts = []
        self.numbers = Atomic(20)

    @borrowed
    def on_locked(self, mount: Mount, dentry: Dentry) -> Mount | None:
        """The mount that covers `dentry` as seen through `mount`. The dentry cache's lock is held."""
        for candidate in self.mounts:
            if candidate.point is dentry and candidate.parent is mount:
                return candidate
        return None

    def on(self, mount: Mount, dentry: Dentry) -> Mount | None:
        """As on_locked, taking the lock."""
        with cache.lock.read():
            return self.on_locked(mount, dentry)

    def attach(self, mount: Mount, at: Path) -> None:
        """Make `mount` cover `at`. Raises FileNotFoundError when `at` was removed meanwhile, MemoryError."""
        with at.inode().lock:
            with cache.lock:
                if at.dentry.dead:
                    raise FileNotFoundError
                self.mounts.append(mount)
                hold(mount)
                mount.parent = at.mount
                mount.point = at.dentry
                at.dentry.mounts += 1
                at.mount.children += 1
        mount_users.spread(mount)

    def detach(self, mount: Mount) -> None:
        """Uncover. Open files keep the file system alive until they are closed."""
        mount_users.gather(mount)
        self._detach(mount, True)
        let_go(mount)

    def _detach(self, mount: Mount, even_busy: bool) -> tuple[bool, Dentry | None, Mount | None]:
        """Whether it was done, which one that is busy hinders unless `even_busy`; and where it stood, to be dropped
        after the lock. Under the lock nobody becomes a user who is none yet."""
        with cache.lock:
            if not even_busy and (mount.children != 0 or mount.users.load() != 1):
                return False, None, None
            point = mount.point
            parent = mount.parent
            if point is not None and parent is not None:
                point.mounts -= 1
                parent.children -= 1
            mount.point = None
            mount.parent = None
            self.mounts.remove(mount)
            return True, point, parent

    def move(self, mount: Mount, at: Path) -> None:
        """MS_MOVE: cover another place. Raises OSError(EINVAL) for the root, FileNotFoundError."""
        with at.inode().lock:
            self._move(mount, at)

    def _move(self, mount: Mount, at: Path) -> tuple[Dentry, Mount]:
        """Gives where it stood, to be dropped after the lock."""
        with cache.lock:
            point = mount.point
            parent = mount.parent
            if point is None or parent is None:
                raise OSError(errno.EINVAL)
            if at.dentry.dead:
                raise FileNotFoundError
            point.mounts -= 1
            parent.children -= 1
            mount.parent = at.mount
            mount.point = at.dentry
            at.dentry.mounts += 1
            at.mount.children += 1
            return point, parent

    def unmount(self, mount: Mount, lazily: bool) -> None:
        """umount2(2). Raises OSError(EBUSY) when in use and not `lazily`, OSError(EINVAL) for the root."""
        if mount is self.root:
            raise OSError(errno.EINVAL)
        if lazily:
            self._detach_below(mount)
            self.detach(mount)
        else:
            self._detach_unused(mount)

    def _detach_unused(self, mount: Mount) -> None:
        if mount.children != 0:
            raise OSError(errno.EBUSY)
        mount_users.gather(mount)
        done = False
        try:
            if mount.users.load() == 1:
                mount.superblock.sync()
                done = self._detach(mount, False)[0]
        finally:
            if not done:
                mount_users.spread(mount)
        if not done:
            raise OSError(errno.EBUSY)
        let_go(mount)

    def _detach_below(self, mount: Mount) -> None:
        child = self._child_of(mount)
        while child is not None:
            leaf = child
            deeper = self._child_of(leaf)
            while deeper is not None:
                leaf = deeper
                deeper = self._child_of(leaf)
            self.detach(leaf)
            child = self._child_of(mount)

    def _child_of(self, mount: Mount) -> Mount | None:
        for candidate in self.mounts:
            if candidate.parent is mount:
                return candidate
        return None


table = MountTable()


def new_mount(superblock: SuperBlock, source: bytes, flags: u64) -> Mount:
    """An unattached mount of a whole file system. Raises MemoryError."""
    root = superblock.root_inode()
    assert root is not None
    return Mount(superblock, Dentry(b"/", 0, None, root), source, flags)


def mount_first(superblock: SuperBlock, source: bytes, flags: u64) -> Path:
    """Make `superblock` the root of all names; the path of its root."""
    mount = new_mount(superblock, source, flags)
    with cache.lock:
        table.root = mount
        table.mounts.append(mount)
        hold(mount)
    with table.change:
        mount_users.spread(mount)
    return Path(mount, mount.root)


def is_below(dentry: Dentry, above: Dentry) -> bool:
    """Whether `dentry` is `above` or under it, within a file system."""
    with cache.lock.read():
        walker: Dentry | None = dentry
        while walker is not None:
            if walker is above:
                return True
            walker = walker.parent
    return False
