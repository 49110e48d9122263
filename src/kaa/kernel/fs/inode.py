# SPDX-License-Identifier: Apache-2.0
"""What every kind of file has beneath its names: type, owner, size, times, and the operations its file system gives.

A file system subclasses `Inode`; each operation it does not define raises the errno that Linux gives for that kind.
Names arrive as one component without '/', never empty, never "." or "..", at most NAME_MAX bytes.

Locks: `lock` of a directory is held by the VFS around lookup, create, mkdir, mknod, symlink, link, unlink, rmdir and
rename in it (several: ancestors first, else by number); `lock` of a regular file around write, truncate and setattr.
Around link, unlink, rmdir, and rename over it, the lock of the file that is named is held too, inside the directories':
it covers `nlink`, `removed`, and whether something is mounted there.
Attributes are words: readers take them without the lock, as stat(2) promises no snapshot. `cache` is set when the inode
is made, `locks` once, under the lock; `pipe` under pipe_file.fifos.
Times are nanoseconds since the Epoch.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from kaa.kernel.arch import machine
from kaa.kernel.locking.mutex import Mutex
from kaa.lang import Bytes, Guarded, Once, Relaxed, i64, struct, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.locks import LockList
    from kaa.kernel.fs.path import Path
    from kaa.kernel.fs.pipe import Pipe
    from kaa.kernel.fs.superblock import SuperBlock
    from kaa.kernel.mm.page_cache import PageCache

SET_MODE = 1
SET_UID = 2
SET_GID = 4
SET_ACCESSED = 8
SET_MODIFIED = 16
SET_ACCESSED_NOW = 32
SET_MODIFIED_NOW = 64
"""Bits of Change.mask. The _NOW bits come with the plain ones and tell a remote file system to use its own clock."""


@struct
class Change:
    """New attributes for `Inode.setattr`; only the fields that `mask` names count."""

    mask: u32 = 0
    mode: u32 = 0
    uid: u32 = 0
    gid: u32 = 0
    accessed: i64 = 0
    modified: i64 = 0


class Inode:
    """A file of any kind. See the module's docstring for what an implementation is told and what is locked."""

    superblock: Final[SuperBlock]
    number: Final[u64]
    lock: Final[Mutex]
    mode: Guarded[Relaxed[u32], "Inode.lock"]
    """This, the next three and `size` change under `lock`; while nobody else knows the inode, under its directory's."""
    nlink: Guarded[Relaxed[u32], "Inode.lock"]
    uid: Guarded[Relaxed[u32], "Inode.lock"]
    gid: Guarded[Relaxed[u32], "Inode.lock"]
    rdev: u64
    size: Guarded[Relaxed[u64], "Inode.lock"]
    accessed: Relaxed[i64]
    modified: Relaxed[i64]
    changed: Relaxed[i64]
    born: i64
    cache: PageCache | None = None
    locks: Guarded[Once[LockList | None], "lock"] = None
    pipe: Guarded[Pipe | None, "fifo.fifos"] = None
    """Of a FIFO, while anyone has it open."""
    removed: Guarded[bool, "lock"] = False
    """Of a directory: its name is gone, and nothing can be made in it any more."""

    def __init__(self, superblock: SuperBlock, number: u64, mode: u32) -> None:
        self.superblock = superblock
        self.number = number
        self.lock = Mutex("inode")
        self.mode = mode
        self.nlink = 1
        self.uid = 0
        self.gid = 0
        self.rdev = 0
        self.size = 0
        now = machine.clock.realtime_ns()
        self.accessed = i64(now)
        self.modified = i64(now)
        self.changed = i64(now)
        self.born = i64(now)

    def is_directory(self) -> bool:
        """Whether names can be looked up in it."""
        return (self.mode & S_IFMT) == S_IFDIR

    def is_symlink(self) -> bool:
        """Whether it stands for another path."""
        return (self.mode & S_IFMT) == S_IFLNK

    def is_regular(self) -> bool:
        """Whether it is a plain file."""
        return (self.mode & S_IFMT) == S_IFREG

    def touch_modified(self) -> None:
        """Content changed: the modification and change times are now."""
        now = i64(machine.clock.realtime_ns())
        self.modified = now
        self.changed = now

    def touch_changed(self) -> None:
        """Attributes changed: the change time is now."""
        self.changed = i64(machine.clock.realtime_ns())

    def touch_accessed(self) -> None:
        """Content was read. As mount option relatime: only when not read since the last change (mount(8))."""
        if self.accessed <= self.modified or self.accessed <= self.changed:
            self.accessed = i64(machine.clock.realtime_ns())

    # Operations of directories.

    def lookup(self, name: Bytes) -> Inode:
        """The inode called `name` here. Raises FileNotFoundError."""
        raise NotADirectoryError

    def create(self, name: bytes, mode: u32) -> Inode:
        """A new regular file; `mode` has its type bits and the umask is taken off already. The owner is the caller."""
        raise OSError(errno.EPERM)

    def mkdir(self, name: bytes, mode: u32) -> Inode:
        """A new directory."""
        raise OSError(errno.EPERM)

    def mknod(self, name: bytes, mode: u32, rdev: u64) -> Inode:
        """A new device, FIFO or socket."""
        raise OSError(errno.EPERM)

    def symlink(self, name: bytes, target: Bytes) -> Inode:
        """A new symbolic link."""
        raise OSError(errno.EPERM)

    def link(self, name: bytes, inode: Inode) -> None:
        """One more name for `inode`, of the same superblock."""
        raise OSError(errno.EPERM)

    def unlink(self, name: bytes, inode: Inode) -> None:
        """Take away the name of `inode`, which is no directory."""
        raise OSError(errno.EPERM)

    def rmdir(self, name: bytes, inode: Inode) -> None:
        """Take away the name of the empty directory `inode`. Raises OSError(ENOTEMPTY)."""
        raise OSError(errno.EPERM)

    def rename(self, name: bytes, new_parent: Inode, new_name: bytes, flags: u32) -> None:
        """rename(2), renameat2(2) with RENAME_NOREPLACE or RENAME_EXCHANGE. The VFS checked kinds and permissions;
        emptiness of a directory that is replaced is the file system's to check."""
        raise OSError(errno.EPERM)

    def temporary(self, mode: u32) -> Inode:
        """A regular file without a name, for O_TMPFILE."""
        raise OSError(errno.EOPNOTSUPP)

    def still_names(self, name: Bytes, inode: Inode | None) -> bool:
        """Asked before a cached name is used, of file systems with `SuperBlock.revalidates`."""
        return True

    # Operations of symbolic links.

    def readlink(self) -> bytes:
        """The target."""
        raise OSError(errno.EINVAL)

    def magic_link(self) -> Path | None:
        """Where the link leads without going by name (/proc/self/exe, fd/3); None: use readlink. May raise OSError."""
        return None

    # Operations of any kind.

    def open(self, flags: u32, path: Path) -> File:
        """A new open file. O_CREAT, O_EXCL, O_TRUNC and permissions were dealt with."""
        raise OSError(errno.ENXIO)

    def truncate(self, size: u64) -> None:
        """Make a regular file `size` bytes long, zero-filled where it grows."""
        raise OSError(errno.EINVAL)

    def read_page(self, index: u64, pfn: u64) -> None:
        """Fill the page frame with the file's page `index`, zeroes beyond its end; for `cache`."""
        raise OSError(errno.EIO)

    def write_page(self, index: u64, pfn: u64) -> None:
        """Take back a dirty page of `cache`; file systems that live in the cache have nothing to do."""

    def getattr(self) -> None:
        """Bring the attribute fields up to date, where the truth is elsewhere."""

    def setattr(self, change: Change) -> None:
        """Change mode, owner or times; permissions were checked."""
        apply_change(self, change)

    def blocks(self) -> u64:
        """st_blocks: 512-byte units in use."""
        return (self.size + 511) >> 9

    def xattr_get(self, name: Bytes) -> bytes:
        """getxattr(2). Raises OSError(EOPNOTSUPP) or OSError(ENODATA)."""
        raise OSError(errno.EOPNOTSUPP)

    def xattr_set(self, name: bytes, value: bytes, flags: u32) -> None:
        """setxattr(2)."""
        raise OSError(errno.EOPNOTSUPP)

    def xattr_remove(self, name: bytes) -> None:
        """removexattr(2)."""
        raise OSError(errno.EOPNOTSUPP)

    def xattr_count(self) -> u32:
        """How many attributes `xattr_name` can tell of."""
        return 0

    def xattr_name(self, index: u32) -> bytes:
        """The name of an attribute, for listxattr(2)."""
        raise OSError(errno.ENODATA)


def apply_change(inode: Inode, change: Change) -> None:
    """Write `change` into the attribute fields: all that setattr has to do where the inode is the truth."""
    if change.mask & SET_MODE:
        inode.mode = (inode.mode & S_IFMT) | (change.mode & 0o7777)
    if change.mask & SET_UID:
        inode.uid = change.uid
    if change.mask & SET_GID:
        inode.gid = change.gid
    if change.mask & SET_ACCESSED:
        inode.accessed = change.accessed
    if change.mask & SET_MODIFIED:
        inode.modified = change.modified
    inode.touch_changed()
