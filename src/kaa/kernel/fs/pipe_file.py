# SPDX-License-Identifier: Apache-2.0
"""The open ends of a pipe or FIFO, and pipe(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_WRONLY
from kaa.kernel.abi.ioctl import FIONREAD
from kaa.kernel.abi.stat import S_IFIFO
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.fs.anonymous import new_inode, pipe_files
from kaa.kernel.fs.descriptors import install_pair
from kaa.kernel.fs.file import File
from kaa.kernel.fs.pipe import Pipe
from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.mm.user import UserPtr
from kaa.lang import i32, i64, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.path import Path
    from kaa.kernel.fs.poll import PollTable
    from kaa.kernel.mm.user import UserBuf


fifos = SpinLock("fifos")
"""Around the opening and closing of all FIFOs: `Inode.pipe` is there as long as an end counts."""


class PipeFile(File):
    """An end, or both of a FIFO opened with O_RDWR. Counts in the pipe while it is open."""

    pipe: Final[Pipe]
    node: Final[Inode]
    readers_before: Final[u32]
    writers_before: Final[u32]
    """How often either end had been opened before this one was."""
    met: Final[bool]
    """Whether the other end was open then: whoever this end's arrival lets go on may have written and closed before its
    opener runs again, and must not be waited for."""

    def __init__(self, pipe: Pipe, node: Inode, path: Path | None, flags: u32) -> None:
        super().__init__(path, flags)
        self.pipe = pipe
        self.node = node
        self.readers_before = pipe.opened_readers.load()
        self.writers_before = pipe.opened_writers.load()
        self.met = pipe.writers.load() > 0 if self.readable() else pipe.readers.load() > 0
        if self.readable():
            pipe.readers.fetch_add(1)
            pipe.opened_readers.fetch_add(1)
        if self.writable():
            pipe.writers.fetch_add(1)
            pipe.opened_writers.fetch_add(1)

    def __del__(self) -> None:
        pipe = self.pipe
        node = self.node
        if node.pipe is None:
            self._leave(pipe)
        else:
            # A FIFO, which has its pipe while anyone has it open: this file until here.
            with fifos:
                if self._leave(pipe):
                    node.pipe = None
        pipe.readable.wake_all()
        pipe.writable.wake_all()
        super().__del__()

    def _leave(self, pipe: Pipe) -> bool:
        """Count no more; True when nobody else does."""
        if self.readable():
            pipe.readers.fetch_sub(1)
        if self.writable():
            pipe.writers.fetch_sub(1)
        return pipe.readers.load() == 0 and pipe.writers.load() == 0

    def inode(self) -> Inode | None:
        """The FIFO's, or a nameless one."""
        return self.node

    def read(self, buf: UserBuf) -> usize:
        """From the ring."""
        return self.pipe.read(buf, (self.flags & O_NONBLOCK) != 0)

    def write(self, buf: UserBuf) -> usize:
        """To the ring."""
        return self.pipe.write(buf, (self.flags & O_NONBLOCK) != 0)

    def poll(self, table: PollTable | None) -> u32:
        """Of the ends that are open here."""
        events: u32 = u32(0)
        if self.readable():
            events = self.pipe.poll_read(table)
        if self.writable():
            events |= self.pipe.poll_write(table)
        return events

    def ioctl(self, command: u32, argument: u64) -> i64:
        """FIONREAD: bytes to be read."""
        if command != FIONREAD:
            raise OSError(errno.ENOTTY)
        UserPtr[i32](argument).write(i32(self.pipe.used))
        return 0


@syscall(x86_64=293, arm64=59)
def pipe2(ends: UserPtr[i32], flags: u32) -> None:
    """pipe2(2): a new pipe; its reading end in ends[0], its writing end in ends[1]."""
    if flags & (0xFFFFFFFF - (O_CLOEXEC | O_NONBLOCK)) != 0:
        raise OSError(errno.EINVAL)
    ring = Pipe()
    node = new_inode(pipe_files, S_IFIFO | 0o600)
    reader = PipeFile(ring, node, None, O_RDONLY | (flags & O_NONBLOCK))
    writer = PipeFile(ring, node, None, O_WRONLY | (flags & O_NONBLOCK))
    install_pair(reader, writer, flags & O_CLOEXEC != 0, ends)


@syscall(x86_64=22)
def pipe(ends: UserPtr[i32]) -> None:
    """pipe(2): pipe2 without flags."""
    pipe2(ends, 0)
