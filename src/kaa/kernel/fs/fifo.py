# SPDX-License-Identifier: Apache-2.0
"""Opening a FIFO: fifo(7). Each end waits for the other, unless O_NONBLOCK: then reading goes on, writing fails
(ENXIO)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import O_ACCMODE, O_NONBLOCK, O_RDONLY, O_WRONLY
from kaa.kernel.fs.pipe import Pipe
from kaa.kernel.fs.pipe_file import PipeFile, fifos
from kaa.lang import u32

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.path import Path


def open_end(inode: Inode, flags: u32, path: Path, fresh: Pipe) -> PipeFile:
    """One more open file of the FIFO's pipe, which is `fresh` when nobody has it open. `fifos` is held. Raises
    OSError(ENXIO), MemoryError."""
    pipe = inode.pipe
    if flags & O_ACCMODE == O_WRONLY and flags & O_NONBLOCK and (pipe is None or pipe.readers.load() == 0):
        raise OSError(errno.ENXIO)
    if pipe is not None:
        return PipeFile(pipe, inode, path, flags)
    file = PipeFile(fresh, inode, path, flags)
    inode.pipe = fresh
    return file


def open_fifo(inode: Inode, flags: u32, path: Path) -> File:
    """Open one end or (O_RDWR, a Linux extension) both. Raises OSError(ENXIO), Restart."""
    access = flags & O_ACCMODE
    fresh = Pipe()
    with fifos:
        file = open_end(inode, flags, path, fresh)
    pipe = file.pipe
    met = file.met
    readers_before = file.readers_before
    writers_before = file.writers_before
    if access == O_RDONLY:
        pipe.writable.wake_all()
        if not met and flags & O_NONBLOCK == 0:
            pipe.readable.wait_interruptible(lambda: pipe.opened_writers.load() != writers_before)
    elif access == O_WRONLY:
        pipe.readable.wake_all()
        if not met:
            pipe.writable.wait_interruptible(lambda: pipe.opened_readers.load() != readers_before)
    return file
