# SPDX-License-Identifier: Apache-2.0
"""tmpfs's kinds of files besides directories' entries: the common base, directories' operations, links, devices,
regular files."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import RENAME_EXCHANGE
from kaa.kernel.abi.stat import S_IFLNK, S_IFREG
from kaa.kernel.arch import machine
from kaa.kernel.fs.inode import Inode
from kaa.kernel.fs.permission import own_new
from kaa.kernel.fs.special import open_special
from kaa.kernel.fs.tmpfs.entries import EntryList
from kaa.kernel.mm import frame
from kaa.kernel.mm.page_cache import PageCache
from kaa.lang import Atomic, Bytes, Guarded, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.path import Path
    from kaa.kernel.fs.tmpfs.superblock import Tmpfs

ENTRY_SIZE = 20
"""What a directory grows by per entry, as tools expect of tmpfs: st_size is no measure of anything here."""
XATTR_CREATE = 1
XATTR_REPLACE = 2
XATTRS_MAX = 128
"""Attributes of one file: they are kernel memory that nothing else limits."""


class TmpfsInode(Inode):
    """Counts against the instance's inode limit, and may have extended attributes."""

    tmpfs: Final[Tmpfs]
    xattrs: Guarded[dict[bytes, bytes] | None, "lock"] = None
    charged: bool = False
    """Whether it counts: not while its making fails half-way."""

    def __init__(self, superblock: Tmpfs, mode: u32) -> None:
        super().__init__(superblock, superblock.next_number(), mode)
        self.tmpfs = superblock
        superblock.charge_inode()
        self.charged = True

    def __del__(self) -> None:
        if self.charged:
            self.tmpfs.uncharge_inode()

    def xattr_get(self, name: Bytes) -> bytes:
        """user.*, trusted.* and security.* are kept as they are set."""
        check_xattr_name(name)
        attributes = self.xattrs
        if attributes is None or name not in attributes:
            raise OSError(errno.ENODATA)
        return attributes[name]  # pyright: ignore[reportArgumentType] - a dict of bytes is asked by view

    def xattr_set(self, name: bytes, value: bytes, flags: u32) -> None:
        """setxattr(2)."""
        check_xattr_name(name)
        if self.xattrs is None:
            self.xattrs = {}
        attributes = self.xattrs
        assert attributes is not None
        present = name in attributes
        if not present and len(attributes) >= XATTRS_MAX:
            raise OSError(errno.ENOSPC)
        if present and flags & XATTR_CREATE:
            raise FileExistsError
        if not present and flags & XATTR_REPLACE:
            raise OSError(errno.ENODATA)
        attributes[name] = value
        self.touch_changed()

    def xattr_remove(self, name: bytes) -> None:
        """removexattr(2)."""
        check_xattr_name(name)
        attributes = self.xattrs
        if attributes is None or name not in attributes:
            raise OSError(errno.ENODATA)
        del attributes[name]
        self.touch_changed()

    def xattr_count(self) -> u32:
        """How many there are."""
        attributes = self.xattrs
        return u32(0) if attributes is None else u32(len(attributes))

    def xattr_name(self, index: u32) -> bytes:
        """In the order in which they were set."""
        attributes = self.xattrs
        if attributes is not None:
            at: u32 = u32(0)
            for name in attributes.keys():
                if at == index:
                    return name
                at += 1
        raise OSError(errno.ENODATA)


def check_xattr_name(name: Bytes) -> None:
    """Raises OSError(EOPNOTSUPP) for a name in no known space (xattr(7))."""
    if not (name.startswith(b"user.") or name.startswith(b"trusted.") or name.startswith(b"security.")):
        raise OSError(errno.EOPNOTSUPP)


class TmpfsDirectory(TmpfsInode):
    """A directory: entries by name and in order."""

    entries: Guarded[EntryList, "Inode.lock"]
    """Under its own lock; renaming holds those of both directories, and of a directory that it replaces."""

    def __init__(self, superblock: Tmpfs, mode: u32) -> None:
        super().__init__(superblock, mode)
        self.entries = EntryList()
        self.nlink = 2
        self.size = 2 * ENTRY_SIZE

    def lookup(self, name: Bytes) -> Inode:
        """By name."""
        return self.entries.find(name)

    def add_entry(self, name: bytes, inode: Inode) -> None:
        """One more name; counting the link is the caller's."""
        self.entries.add(name, inode)
        self.size += ENTRY_SIZE
        self.touch_modified()

    def _adopt(self, name: bytes, inode: Inode) -> Inode:
        own_new(inode, self, machine.percpu.current().credentials)
        self.add_entry(name, inode)
        return inode

    def _take_out(self, name: Bytes) -> None:
        self.entries.remove(name)
        self.size -= ENTRY_SIZE
        self.touch_modified()

    def create(self, name: bytes, mode: u32) -> Inode:
        """A regular file."""
        return self._adopt(name, TmpfsRegular(self.tmpfs, mode))

    def temporary(self, mode: u32) -> Inode:
        """A regular file without a name."""
        inode = TmpfsRegular(self.tmpfs, mode)
        own_new(inode, self, machine.percpu.current().credentials)
        inode.nlink = 0
        return inode

    def mkdir(self, name: bytes, mode: u32) -> Inode:
        """A directory; its '..' counts as a link of this one."""
        made = self._adopt(name, TmpfsDirectory(self.tmpfs, mode))
        self.nlink += 1
        return made

    def mknod(self, name: bytes, mode: u32, rdev: u64) -> Inode:
        """A device, FIFO or socket."""
        inode = TmpfsSpecial(self.tmpfs, mode)
        inode.rdev = rdev
        return self._adopt(name, inode)

    def symlink(self, name: bytes, target: Bytes) -> Inode:
        """A symbolic link."""
        return self._adopt(name, TmpfsSymlink(self.tmpfs, bytes(target)))

    def link(self, name: bytes, inode: Inode) -> None:
        """One more name."""
        self.add_entry(name, inode)
        inode.nlink += 1
        inode.touch_changed()

    def unlink(self, name: bytes, inode: Inode) -> None:
        """One name less."""
        self._take_out(name)
        inode.nlink -= 1
        inode.touch_changed()

    def rmdir(self, name: bytes, inode: Inode) -> None:
        """Only when empty."""
        assert isinstance(inode, TmpfsDirectory)
        if len(inode.entries) != 0:
            raise OSError(errno.ENOTEMPTY)
        self._take_out(name)
        self.nlink -= 1
        inode.nlink = 0
        inode.touch_changed()

    def rename(self, name: bytes, new_parent: Inode, new_name: bytes, flags: u32) -> None:
        """Atomic: what may fail (memory) comes first."""
        assert isinstance(new_parent, TmpfsDirectory)
        moved = self.entries.find(name)
        if flags & RENAME_EXCHANGE:
            self._exchange(name, moved, new_parent, new_name)
            return
        if new_parent.entries.has(new_name):
            self._replace(new_parent, new_name, moved)
        else:
            new_parent.add_entry(new_name, moved)
            if moved.is_directory():
                new_parent.nlink += 1
        self._take_out(name)
        if moved.is_directory():
            self.nlink -= 1
        moved.touch_changed()

    def _replace(self, new_parent: TmpfsDirectory, new_name: bytes, moved: Inode) -> None:
        victim = new_parent.entries.find(new_name)
        if isinstance(victim, TmpfsDirectory):
            if len(victim.entries) != 0:
                raise OSError(errno.ENOTEMPTY)
            victim.nlink = 0
        else:
            victim.nlink -= 1
        new_parent.entries.replace(new_name, moved)
        new_parent.touch_modified()
        victim.touch_changed()

    def _exchange(self, name: bytes, moved: Inode, new_parent: TmpfsDirectory, new_name: bytes) -> None:
        other = new_parent.entries.find(new_name)
        self.entries.replace(name, other)
        new_parent.entries.replace(new_name, moved)
        if moved.is_directory() != other.is_directory():
            if moved.is_directory():
                self.nlink -= 1
                new_parent.nlink += 1
            else:
                self.nlink += 1
                new_parent.nlink -= 1
        self.touch_modified()
        new_parent.touch_modified()

    def open(self, flags: u32, path: Path) -> File:
        """For getdents."""
        from kaa.kernel.fs.tmpfs.file import TmpfsDirectoryFile

        return TmpfsDirectoryFile(self, path, flags)


class TmpfsSymlink(TmpfsInode):
    """A symbolic link."""

    target: Final[bytes]

    def __init__(self, superblock: Tmpfs, target: bytes) -> None:
        super().__init__(superblock, S_IFLNK | 0o777)
        self.target = target
        self.size = len(target)

    def readlink(self) -> bytes:
        """The target."""
        return self.target


class TmpfsSpecial(TmpfsInode):
    """A device, FIFO or socket."""

    def open(self, flags: u32, path: Path) -> File:
        """Whatever it names."""
        return open_special(self, flags, path)


class TmpfsRegular(TmpfsInode):
    """A regular file: its pages are `cache`, where absent ones are holes."""

    seals: Guarded[u32, "lock"] = 0
    """F_SEAL_ bits (memfd_create(2))."""
    charged_pages: Atomic[u64]
    """What of the instance's pages is used here: as many as the cache has, but for pages on their way in or out."""

    def __init__(self, superblock: Tmpfs, mode: u32) -> None:
        super().__init__(superblock, S_IFREG | (mode & 0o7777))
        self.charged_pages = Atomic(0)
        self.cache = PageCache(self)

    def __del__(self) -> None:
        if self.charged:
            self.tmpfs.uncharge_pages(self.charged_pages.load())
        super().__del__()

    def charge_page(self) -> None:
        """One page more. Raises OSError(ENOSPC)."""
        self.tmpfs.charge_page()
        self.charged_pages.fetch_add(1)

    def uncharge_page(self) -> None:
        """It did not come to be."""
        self.charged_pages.fetch_sub(1)
        self.tmpfs.uncharge_pages(1)

    def settle_pages(self) -> None:
        """Pages were dropped: give back what is charged beyond those there are. `lock` is held, so none is written; a
        page fault that puts one in is charged afterwards, and at worst charged for a page that is gone again."""
        cache = self.cache
        assert cache is not None
        charged = self.charged_pages.load()
        left = min(cache.page_count(), charged)
        self.charged_pages.fetch_sub(charged - left)
        self.tmpfs.uncharge_pages(charged - left)

    def open(self, flags: u32, path: Path) -> File:
        """For reading and writing through the cache."""
        from kaa.kernel.fs.tmpfs.file import TmpfsFile

        return TmpfsFile(self, path, flags)

    def read_page(self, index: u64, pfn: u64) -> None:
        """A hole that must become a page (mapped, or written to in part): zeroes, within the limit."""
        self.charge_page()
        frame.clear(pfn)

    def truncate(self, size: u64) -> None:
        """Cut or extend; `lock` is held."""
        cache = self.cache
        assert cache is not None
        if size < self.size:
            self.size = size
            cache.truncate(size)
            self.settle_pages()
        self.size = size
        self.touch_modified()

    def blocks(self) -> u64:
        """Eight per page."""
        cache = self.cache
        return u64(0) if cache is None else u64(cache.page_count()) * 8
