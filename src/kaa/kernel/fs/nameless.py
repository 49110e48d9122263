# SPDX-License-Identifier: Apache-2.0
"""Places for inodes that have no name, so that /proc/PID/fd/N of a pipe can be opened again, as /dev/stdout must be.

Opening one makes a new open file of the same pipe (proc(5), /proc/PID/fd); the other nameless kinds are refused
(ENXIO).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.fs.anonymous import pipe_files
from kaa.kernel.fs.dentry import Dentry
from kaa.kernel.fs.inode import Inode
from kaa.kernel.fs.mount import Mount
from kaa.kernel.fs.path import Path
from kaa.kernel.fs.pipe_file import PipeFile
from kaa.lang import u32

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File


class ReopenedPipe(Inode):
    """Stands for a pipe's inode in a walk."""

    original: Final[PipeFile]

    def __init__(self, original: PipeFile) -> None:
        node = original.node
        super().__init__(node.superblock, node.number, node.mode)
        self.original = original
        self.uid = node.uid
        self.gid = node.gid

    def open(self, flags: u32, path: Path) -> File:
        """One more open file of the same ring. Who waits for such an end to be opened goes on (fifo.py)."""
        pipe = self.original.pipe
        file = PipeFile(pipe, self.original.node, None, flags)
        pipe.readable.wake_all()
        pipe.writable.wake_all()
        return file


def place(file: File) -> Path:
    """Where a walk that follows the link stands. Raises OSError(ENXIO)."""
    inode: Inode | None = ReopenedPipe(file) if isinstance(file, PipeFile) else file.inode()
    if inode is None:
        raise OSError(errno.ENXIO)
    dentry = Dentry(b"", u32(0), None, inode)
    return Path(Mount(pipe_files, dentry, b"none", 0), dentry)
