# SPDX-License-Identifier: Apache-2.0
"""eventfd(2): a counter that can be waited for. And memfd_create(2): a tmpfs file without a name."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import (
    EFD_SEMAPHORE,
    F_SEAL_SEAL,
    MFD_ALLOW_SEALING,
    MFD_CLOEXEC,
    MFD_EXEC,
    MFD_NOEXEC_SEAL,
    O_CLOEXEC,
    O_LARGEFILE,
    O_NONBLOCK,
    O_RDWR,
)
from kaa.kernel.abi.poll import POLLERR, READABLE, WRITABLE
from kaa.kernel.abi.stat import S_IFREG
from kaa.kernel.abi.statfs import TMPFS_MAGIC
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.fs.anonymous import anonymous_files, new_inode
from kaa.kernel.fs.dentry import Dentry
from kaa.kernel.fs.file import File
from kaa.kernel.fs.mount import Mount
from kaa.kernel.fs.path import Path
from kaa.kernel.fs.superblock import find_type
from kaa.kernel.fs.text import join
from kaa.kernel.fs.tmpfs.inode import TmpfsRegular
from kaa.kernel.fs.tmpfs.superblock import Options, new_tmpfs
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.kernel.mm.user import UserString
from kaa.lang import Bytes, Guarded, as_bytes, i32, struct, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.poll import PollTable
    from kaa.kernel.mm.user import UserBuf

MAXIMUM = 0xFFFFFFFFFFFFFFFE
MEMFD_NAME_MAX = 249


@struct
class Word:
    """Eight bytes."""

    value: u64 = 0


class EventFile(File):
    """The counter."""

    lock: Final[SpinLock]
    count: Guarded[u64, "lock"]
    changed: Final[WaitQueue]
    semaphore: Final[bool]
    node: Final[Inode]

    def __init__(self, flags: u32, initial: u64, semaphore: bool) -> None:
        super().__init__(None, flags)
        self.lock = SpinLock("eventfd")
        self.count = initial
        self.changed = WaitQueue("eventfd")
        self.semaphore = semaphore
        self.node = new_inode(anonymous_files, 0o600)

    def kind_name(self) -> Bytes:
        """For /proc/PID/fd."""
        return b"eventfd"

    def inode(self) -> Inode | None:
        """A nameless one."""
        return self.node

    def _take(self) -> u64:
        """What read(2) gives; 0 when there is nothing."""
        with self.lock:
            value = min(self.count, u64(1)) if self.semaphore else self.count
            self.count -= value
            return value

    def _put(self, value: u64) -> bool:
        """Add; False when it does not fit."""
        with self.lock:
            if self.count > u64(MAXIMUM) - value:
                return False
            self.count += value
            return True

    def current(self) -> u64:
        """The counter, as of now."""
        with self.lock:
            return self.count

    def read(self, buf: UserBuf) -> usize:
        """The counter, which becomes 0 (or one less: EFD_SEMAPHORE); waits while it is 0."""
        if buf.remaining() < 8:
            raise OSError(errno.EINVAL)
        value = self._take()
        while value == 0:
            if self.nonblocking():
                raise BlockingIOError
            self.changed.wait_interruptible(lambda: self.current() != 0)
            value = self._take()
        self.changed.wake_all()
        buf.copy_out(as_bytes(Word(value)))
        return usize(8)

    def write(self, buf: UserBuf) -> usize:
        """Add to the counter; waits while it would overflow."""
        if buf.remaining() < 8:
            raise OSError(errno.EINVAL)
        word = Word()
        buf.copy_in(as_bytes(word))
        value = word.value
        if value > u64(MAXIMUM):
            raise OSError(errno.EINVAL)
        while not self._put(value):
            if self.nonblocking():
                raise BlockingIOError
            self.changed.wait_interruptible(lambda: self.current() <= u64(MAXIMUM) - value)
        self.changed.wake_all()
        return usize(8)

    def poll(self, table: PollTable | None) -> u32:
        """Readable when not 0, writable while 1 fits."""
        if table is not None:
            table.add(self.changed)
        count = self.current()
        events: u32 = u32(0)
        if count > 0:
            events |= READABLE
        if count < u64(MAXIMUM):
            events |= WRITABLE
        if count > u64(MAXIMUM):
            events |= POLLERR
        return events


@syscall(x86_64=290, arm64=19)
def eventfd2(initial: u32, flags: u32) -> i32:
    """eventfd2(2): a new counter."""
    if flags & (0xFFFFFFFF - (O_CLOEXEC | O_NONBLOCK | EFD_SEMAPHORE)) != 0:
        raise OSError(errno.EINVAL)
    file = EventFile(O_RDWR | (flags & O_NONBLOCK), u64(initial), flags & EFD_SEMAPHORE != 0)
    return machine.percpu.current().files.install(file, flags & O_CLOEXEC != 0)


@syscall(x86_64=284)
def eventfd(initial: u32) -> i32:
    """eventfd(2): eventfd2 without flags."""
    return eventfd2(initial, 0)


class HiddenTmpfs:
    """The tmpfs that memfds live in; made with the first."""

    mount: Guarded[Mount | None, "lock"] = None
    lock: Final[Mutex]

    def __init__(self) -> None:
        self.lock = Mutex("memfd")

    def get(self) -> Mount:
        """Raises MemoryError."""
        with self.lock:
            mount = self.mount
            if mount is None:
                superblock = new_tmpfs(find_type(b"tmpfs"), TMPFS_MAGIC, 0, Options())
                root = superblock.root_inode()
                assert root is not None
                mount = Mount(superblock, Dentry(b"", 0, None, root), b"tmpfs", 0)
                self.mount = mount
            return mount


hidden = HiddenTmpfs()


@syscall(x86_64=319, arm64=279)
def memfd_create(name: UserString, flags: u32) -> i32:
    """memfd_create(2): a file in memory without a name; huge pages are refused."""
    known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC
    if flags & (0xFFFFFFFF - known) != 0 or flags & MFD_EXEC and flags & MFD_NOEXEC_SEAL:
        raise OSError(errno.EINVAL)
    text = name.read_path()
    if len(text) > MEMFD_NAME_MAX:
        raise OSError(errno.EINVAL)
    mount = hidden.get()
    superblock = mount.root.inode
    assert superblock is not None
    mode = u32(0o666) if flags & MFD_NOEXEC_SEAL else u32(0o777)
    with superblock.lock:
        inode = superblock.temporary(S_IFREG | mode)
    assert isinstance(inode, TmpfsRegular)
    if flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL) == 0:
        with inode.lock:
            inode.seals = u32(F_SEAL_SEAL)
    dentry = Dentry(join(b"memfd:", text), 0, mount.root, inode)
    dentry.dead = True
    file = inode.open(O_RDWR | O_LARGEFILE, Path(mount, dentry))
    return machine.percpu.current().files.install(file, flags & MFD_CLOEXEC != 0)
