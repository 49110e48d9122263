# SPDX-License-Identifier: Apache-2.0
"""Inodes of files that have no name anywhere: pipes, event counters, epoll sets, memfds.

Their superblocks are never mounted; fstat(2) shows their device numbers.
"""

from __future__ import annotations

import errno

from kaa.kernel.abi.statfs import ANON_INODE_FS_MAGIC, PIPEFS_MAGIC
from kaa.kernel.fs.inode import Inode
from kaa.kernel.fs.superblock import FileSystemType, SuperBlock
from kaa.lang import Atomic, u32, u64


def _not_mountable(source: bytes, flags: u64, data: bytes) -> SuperBlock:
    raise OSError(errno.EINVAL)


PIPEFS = FileSystemType(b"pipefs", _not_mountable, False)
ANONYMOUS = FileSystemType(b"anon_inodefs", _not_mountable, False)
pipe_files = SuperBlock(PIPEFS, PIPEFS_MAGIC, 0)
anonymous_files = SuperBlock(ANONYMOUS, ANON_INODE_FS_MAGIC, 0)


class Serial:
    """Where their inode numbers come from."""

    last: Atomic[u64]

    def __init__(self) -> None:
        self.last = Atomic(1000)


serial = Serial()


def new_inode(superblock: SuperBlock, mode: u32) -> Inode:
    """A nameless inode with the caller's ids."""
    from kaa.kernel.arch import machine

    inode = Inode(superblock, serial.last.fetch_add(1), mode)
    who = machine.percpu.current().credentials
    inode.uid = who.fsuid
    inode.gid = who.fsgid
    return inode
