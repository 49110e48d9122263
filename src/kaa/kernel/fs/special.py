# SPDX-License-Identifier: Apache-2.0
"""Opening inodes that are names for something else: devices, FIFOs, sockets. Any file system may use it in
`Inode.open`."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.mount import MS_NODEV
from kaa.kernel.abi.stat import S_IFCHR, S_IFIFO, S_IFMT
from kaa.kernel.drivers.char import registry
from kaa.lang import u32

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.path import Path


def open_special(inode: Inode, flags: u32, path: Path) -> File:
    """Open a device or FIFO. Raises OSError(ENXIO) for sockets and devices without a driver, OSError(EACCES) under
    nodev."""
    from kaa.kernel.fs import fifo

    kind = inode.mode & S_IFMT
    if kind == S_IFIFO:
        return fifo.open_fifo(inode, flags, path)
    if kind == S_IFCHR:
        if path.mount.flags & MS_NODEV:
            raise OSError(errno.EACCES)
        return registry.open_device(inode.rdev, flags, path)
    raise OSError(errno.ENXIO)
