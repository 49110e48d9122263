# SPDX-License-Identifier: Apache-2.0
"""Opening a FIFO: fifo(7). Each end waits for the other, unless O_NONBLOCK: then reading goes on, writing fails
(ENXIO)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import O_ACCMODE, O_NONBLOCK, O_RDONLY, O_WRONLY
from kaa.kernel.fs.pipe import Pipe
from kaa.kernel.fs.pipe_file import PipeFile
from kaa.lang import u32

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.path import Path


def pipe_of(inode: Inode) -> Pipe:
    """The FIFO's pipe, made when nobody has it open."""
    with inode.lock:
        pipe = inode.pipe
        if pipe is None:
            pipe = Pipe()
            inode.pipe = pipe
        return pipe


def open_fifo(inode: Inode, flags: u32, path: Path) -> File:
    """Open one end or (O_RDWR, a Linux extension) both. Raises OSError(ENXIO), Restart."""
    pipe = pipe_of(inode)
    access = flags & O_ACCMODE
    if access == O_WRONLY and flags & O_NONBLOCK and pipe.readers == 0:
        raise OSError(errno.ENXIO)
    # Counts first, partners second, both before this end counts: whoever this end's arrival lets go on may have written
    # and closed before this task runs again, and must not be waited for.
    readers_before = pipe.opened_readers
    writers_before = pipe.opened_writers
    met = pipe.readers > 0 if access == O_WRONLY else pipe.writers > 0
    file = PipeFile(pipe, inode, path, flags)
    inode.pipe = pipe
    if access == O_RDONLY:
        pipe.writable.wake_all()
        if not met and flags & O_NONBLOCK == 0:
            pipe.readable.wait_interruptible(lambda: pipe.opened_writers != writers_before)
    elif access == O_WRONLY:
        pipe.readable.wake_all()
        if not met:
            pipe.writable.wait_interruptible(lambda: pipe.opened_readers != readers_before)
    return file
