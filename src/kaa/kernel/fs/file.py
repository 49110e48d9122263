# SPDX-License-Identifier: Apache-2.0
"""An open file: what a descriptor refers to (POSIX: "open file description").

Subclasses give the operations; what they leave out fails as Linux does for that kind of file. A `File` is reference
counted: descriptors, mappings and calls in progress hold it, and `__del__` of a subclass is the last close.
`flush` runs at each close(2) of a descriptor.

Invariant: `flags & O_ACCMODE` never changes after open; of the others only O_APPEND, O_ASYNC, O_DIRECT, O_NOATIME and
O_NONBLOCK do (fcntl(2), F_SETFL), by `change_flags`. The caller of read, write and so on has checked the access mode.

Locks: `flag_changes`, a spinlock for all files, for changes of `flags`, which readers take as one word.
`SeekableFile.position_lock` makes what moves the position atomic; it comes before the inode's lock.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import (
    O_ACCMODE,
    O_CLOEXEC,
    O_CREAT,
    O_EXCL,
    O_NOCTTY,
    O_NONBLOCK,
    O_PATH,
    O_TRUNC,
    O_WRONLY,
)
from kaa.kernel.abi.poll import READABLE, WRITABLE
from kaa.kernel.fs import lock_calls
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.spinlock import SpinLock
from kaa.lang import Atomic, Bytes, Guarded, LateEnd, Relaxed, i32, i64, inline, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.dirent import DirSink
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.path import Path
    from kaa.kernel.fs.poll import PollTable
    from kaa.kernel.mm.user import UserBuf
    from kaa.kernel.mm.vma import Vma


flag_changes = SpinLock("file flags")
NOT_KEPT = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC
"""Flags of the open itself, which F_GETFL does not show."""


class File(LateEnd):
    """An open file of any kind."""

    path: Final[Path | None]
    flags: Guarded[Relaxed[u32], "file.flag_changes"]
    position: Guarded[Relaxed[u64], "SeekableFile.position_lock"]
    """Of those that have one."""
    owner: Relaxed[i32] = 0
    owner_signal: Relaxed[i32] = 0
    lock_owner: Atomic[u64]
    """Its number as an owner of flock and OFD locks; 0 while it never had one."""
    poll_generation: Atomic[u32]
    """Counts changes of the queues that `poll` stands on (a socket that connects): who stood on the old ones registers
    anew."""

    def __init__(self, path: Path | None, flags: u32) -> None:
        super().__init__()
        self.path = path
        self.flags = flags & (0xFFFFFFFF - NOT_KEPT)
        self.position = 0
        self.lock_owner = Atomic(0)
        self.poll_generation = Atomic(0)

    def __del__(self) -> None:
        if self.lock_owner.load_relaxed() != 0:
            lock_calls.forget_file(self)

    def change_flags(self, cleared: u32, added: u32) -> None:
        """Take bits out and put bits in."""
        with flag_changes:
            self.flags = (self.flags & (0xFFFFFFFF - cleared)) | added

    @inline
    def readable(self) -> bool:
        """Whether it was opened for reading."""
        return (self.flags & (O_WRONLY | O_PATH)) == 0

    @inline
    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return (self.flags & O_ACCMODE) != 0 and (self.flags & O_PATH) == 0

    @inline
    def nonblocking(self) -> bool:
        """Whether calls fail with EAGAIN instead of waiting."""
        return (self.flags & O_NONBLOCK) != 0

    def inode(self) -> Inode | None:
        """The inode it was opened on."""
        path = self.path
        if path is None:
            return None
        return path.dentry.inode

    def has_locks(self) -> bool:
        """Whether there may be record locks on it. Counts no reference: what all processes have open is closed by
        each."""
        path = self.path
        if path is None:
            nameless = self.inode()
            return nameless is not None and nameless.locks is not None
        inode = path.dentry.inode
        return inode is not None and inode.locks is not None

    def read(self, buf: UserBuf) -> usize:
        """read(2) at the file's own position, or of a stream."""
        raise OSError(errno.EINVAL)

    def write(self, buf: UserBuf) -> usize:
        """write(2) at the file's own position, or to a stream."""
        raise OSError(errno.EINVAL)

    def append(self, buf: UserBuf) -> usize:
        """pwritev2(2) with RWF_APPEND: at the end, wherever the position is. Streams have only one."""
        return self.write(buf)

    def read_at(self, buf: UserBuf, offset: u64) -> usize:
        """pread(2)."""
        raise OSError(errno.ESPIPE)

    def write_at(self, buf: UserBuf, offset: u64) -> usize:
        """pwrite(2)."""
        raise OSError(errno.ESPIPE)

    def seek(self, offset: i64, whence: u32) -> u64:
        """lseek(2)."""
        raise OSError(errno.ESPIPE)

    def poll(self, table: PollTable | None) -> u32:
        """The poll(2) events that hold now. With a table: also put it on every queue that is woken when they change."""
        return READABLE | WRITABLE

    def ioctl(self, command: u32, argument: u64) -> i64:
        """ioctl(2); the ones for every kind (FIONBIO, FIOCLEX…) are dealt with before."""
        raise OSError(errno.ENOTTY)

    def readdir(self, sink: DirSink) -> None:
        """Emit entries from `position` on until the sink is full or none is left; leaves `position` at the next."""
        raise NotADirectoryError

    def mmap(self, vma: Vma) -> None:
        """mmap(2) of it: raise OSError(ENODEV) unless pages can be had; may adjust the area."""
        raise OSError(errno.ENODEV)

    def fsync(self) -> None:
        """fsync(2): on stable storage when this returns."""
        raise OSError(errno.EINVAL)

    def flush(self) -> None:
        """A descriptor for it is closed."""

    def truncate(self, size: u64) -> None:
        """ftruncate(2)."""
        raise OSError(errno.EINVAL)

    def fallocate(self, mode: u32, offset: u64, length: u64) -> None:
        """fallocate(2)."""
        raise OSError(errno.ENODEV)

    def kind_name(self) -> Bytes:
        """What /proc/PID/fd calls it when it has no name."""
        return b"file"

    def seekable(self) -> bool:
        """Whether lseek(2) works on it: pipes, sockets and terminals say no."""
        return False


class SeekableFile(File):
    """One with a position that its calls share: POSIX 2.9.7 wants read, write and lseek atomic among threads."""

    position_lock: Final[Mutex]

    def __init__(self, path: Path | None, flags: u32) -> None:
        super().__init__(path, flags)
        self.position_lock = Mutex("file position")

    def seekable(self) -> bool:
        """It is."""
        return True


class PathFile(File):
    """What open(2) with O_PATH gives: a place in the tree and nothing to do with its content."""

    def read(self, buf: UserBuf) -> usize:
        """Refused, as every operation on the content."""
        raise OSError(errno.EBADF)

    def write(self, buf: UserBuf) -> usize:
        """Refused."""
        raise OSError(errno.EBADF)

    def ioctl(self, command: u32, argument: u64) -> i64:
        """Refused."""
        raise OSError(errno.EBADF)
