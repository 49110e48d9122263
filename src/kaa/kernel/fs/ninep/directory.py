# SPDX-License-Identifier: Apache-2.0
"""Directories of a 9P server. The VFS holds the directory's lock around all that has a name here.

A name that is found costs two round trips (Twalk, Tgetattr), one that is not one; the dentry cache keeps both kinds.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import RENAME_EXCHANGE
from kaa.kernel.abi.ninep import UNLINK_DIRECTORY, OpenFlag
from kaa.kernel.arch import machine
from kaa.kernel.fs.inode import Inode
from kaa.kernel.fs.ninep import operations
from kaa.kernel.fs.ninep.inode import NinepInode
from kaa.kernel.fs.ninep.operations import Attributes
from kaa.kernel.fs.ninep.regular import NinepRegular
from kaa.lang import Bytes, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.ninep.fids import Fid
    from kaa.kernel.fs.path import Path


class NinepDirectory(NinepInode):
    """A directory."""

    def lookup(self, name: Bytes) -> Inode:
        return self.found(name)

    def found(self, name: Bytes) -> NinepInode:
        """The inode of a name, from the table if it lives already."""
        client = self.mounted.client
        fid = operations.walk(client, self.fid, name)
        attributes = Attributes()
        operations.getattr_(client, fid, attributes)
        inode = self.mounted.inode_for(fid, attributes)
        if inode is self:
            # A server that shows a directory inside itself.
            raise OSError(errno.ELOOP)
        return inode

    def still_names(self, name: Bytes, inode: Inode | None) -> bool:
        """Asked for strict mounts: whether the name still leads to `inode`."""
        try:
            now = self.found(name)
        except FileNotFoundError:
            return inode is None
        return inode is not None and now is inode

    def create(self, name: bytes, mode: u32) -> Inode:
        client = self.mounted.client
        opened = operations.walk(client, self.fid, b"")
        flags = OpenFlag.RDWR | OpenFlag.CREAT | OpenFlag.EXCL
        operations.create(client, opened, name, flags, mode & 0o7777, caller_gid())
        made = self.found(name)
        if isinstance(made, NinepRegular):
            made.take_opened(opened)
        self.touch_modified()
        return made

    def mkdir(self, name: bytes, mode: u32) -> Inode:
        operations.mkdir(self.mounted.client, self.fid, name, mode & 0o7777, caller_gid())
        self.nlink += 1
        return self.made(name)

    def mknod(self, name: bytes, mode: u32, rdev: u64) -> Inode:
        operations.mknod(self.mounted.client, self.fid, name, mode, rdev, caller_gid())
        return self.made(name)

    def symlink(self, name: bytes, target: Bytes) -> Inode:
        operations.symlink(self.mounted.client, self.fid, name, target, caller_gid())
        return self.made(name)

    def made(self, name: bytes) -> Inode:
        """The inode of what was just made."""
        self.touch_modified()
        return self.found(name)

    def link(self, name: bytes, inode: Inode) -> None:
        assert isinstance(inode, NinepInode)
        operations.link(self.mounted.client, self.fid, inode.fid, name)
        inode.nlink += 1
        inode.touch_changed()
        self.touch_modified()

    def unlink(self, name: bytes, inode: Inode) -> None:
        operations.unlink(self.mounted.client, self.fid, name, 0)
        inode.nlink -= min(inode.nlink, u32(1))
        inode.touch_changed()
        self.touch_modified()

    def rmdir(self, name: bytes, inode: Inode) -> None:
        operations.unlink(self.mounted.client, self.fid, name, UNLINK_DIRECTORY)
        inode.nlink = 0
        self.nlink -= min(self.nlink, u32(1))
        self.touch_modified()

    def rename(self, name: bytes, new_parent: Inode, new_name: bytes, flags: u32) -> None:
        if flags & RENAME_EXCHANGE:
            raise OSError(errno.EINVAL)
        assert isinstance(new_parent, NinepDirectory)
        operations.rename(self.mounted.client, self.fid, name, new_parent.fid, new_name)
        self.touch_modified()
        new_parent.touch_modified()

    def open(self, flags: u32, path: Path) -> File:
        from kaa.kernel.fs.ninep.directory_file import NinepDirectoryFile

        return NinepDirectoryFile(path, flags, self, self.open_fid())

    def open_fid(self) -> Fid:
        """A fid of its own for reading entries."""
        client = self.mounted.client
        fid = operations.walk(client, self.fid, b"")
        operations.open_(client, fid, OpenFlag.RDONLY | OpenFlag.DIRECTORY)
        return fid


def caller_gid() -> u32:
    """The group that new files get."""
    return machine.percpu.current().credentials.fsgid
