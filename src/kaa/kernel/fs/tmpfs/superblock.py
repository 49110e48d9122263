# SPDX-License-Identifier: Apache-2.0
"""A tmpfs instance: its limits and what is used of them; mount options of tmpfs(5) (size, nr_blocks, nr_inodes, mode,
uid, gid).

`ramfs` is the same without a limit.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.stat import S_IFDIR
from kaa.kernel.abi.statfs import RAMFS_MAGIC, TMPFS_MAGIC, Statfs
from kaa.kernel.fs.superblock import FileSystemType, SuperBlock, filesystem, find_type
from kaa.kernel.fs.text import parse_number
from kaa.kernel.mm import buddy
from kaa.lang import Atomic, Bytes, i64, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.text import TextBuffer

PAGE = 4096
LARGEST = 1 << 50
"""What a size option says at most, whatever it says: sums with it do not overflow."""


class Tmpfs(SuperBlock):
    """Limits (0: none) and use, in pages and inodes."""

    page_limit: u64
    inode_limit: u64
    pages: Atomic[u64]
    inodes: Atomic[u64]
    numbers: Atomic[u64]
    mode: u32
    uid: u32
    gid: u32

    def __init__(self, kind: FileSystemType, magic: u64, flags: u64) -> None:
        super().__init__(kind, magic, flags)
        self.page_limit = 0
        self.inode_limit = 0
        self.pages = Atomic(0)
        self.inodes = Atomic(0)
        self.numbers = Atomic(1)
        self.mode = 0o1777
        self.uid = 0
        self.gid = 0

    def next_number(self) -> u64:
        """A fresh inode number."""
        return self.numbers.fetch_add(1)

    def charge_page(self) -> None:
        """One more page is used. Raises OSError(ENOSPC)."""
        if self.pages.fetch_add(1) >= self.page_limit and self.page_limit != 0:
            self.pages.fetch_sub(1)
            raise OSError(errno.ENOSPC)

    def require_pages(self, count: u64) -> None:
        """Whether so many could be had now. Raises OSError(ENOSPC)."""
        if self.page_limit != 0 and count > self.page_limit - min(self.pages.load(), self.page_limit):
            raise OSError(errno.ENOSPC)

    def uncharge_pages(self, count: u64) -> None:
        """That many are free again."""
        self.pages.fetch_sub(count)

    def charge_inode(self) -> None:
        """One more inode. Raises OSError(ENOSPC)."""
        if self.inodes.fetch_add(1) >= self.inode_limit and self.inode_limit != 0:
            self.inodes.fetch_sub(1)
            raise OSError(errno.ENOSPC)

    def uncharge_inode(self) -> None:
        """One less."""
        self.inodes.fetch_sub(1)

    def statfs(self, into: Statfs) -> None:
        """Limits and what is left."""
        used = self.pages.load()
        into.f_blocks = i64(self.page_limit)
        into.f_bfree = i64(self.page_limit - min(used, self.page_limit))
        into.f_bavail = into.f_bfree
        inodes = self.inodes.load()
        into.f_files = i64(self.inode_limit)
        into.f_ffree = i64(self.inode_limit - min(inodes, self.inode_limit))

    def remount(self, flags: u64, data: Bytes) -> None:
        """Flags, and limits that are not below what is used."""
        old = self.page_limit
        self.parse(data)
        if self.page_limit != 0 and self.page_limit < self.pages.load():
            self.page_limit = old
            raise OSError(errno.EINVAL)
        self.flags = flags

    def options(self, out: TextBuffer) -> None:
        """As tmpfs(5) writes them."""
        if self.page_limit != 0:
            out.add(b",size=")
            out.decimal(self.page_limit * 4)
            out.byte(0x6B)
        if self.mode != 0o1777:
            out.add(b",mode=")
            out.octal(u64(self.mode))

    def parse(self, data: Bytes) -> None:
        """Take comma-separated options in. Raises OSError(EINVAL) for one that is unknown or malformed."""
        at: usize = usize(0)
        while at < len(data):
            end = at
            while end < len(data) and data[end] != 0x2C:
                end += 1
            if end > at:
                self._option(data[at:end])
            at = end + 1

    def _option(self, option: Bytes) -> None:
        split = option.find(0x3D)
        if split < 0:
            self._word(option)
            return
        name = option[0:split]
        value = option[split + 1 :]
        if name == b"size":
            self.page_limit = (parse_size(value) + PAGE - 1) // PAGE
        elif name == b"nr_blocks":
            self.page_limit = parse_size(value)
        elif name == b"nr_inodes":
            self.inode_limit = parse_size(value)
        elif name == b"mode":
            self.mode = u32(parse_number(value, 8)) & 0o7777
        elif name == b"uid":
            self.uid = u32(parse_number(value))
        elif name == b"gid":
            self.gid = u32(parse_number(value))
        elif name != b"huge" and name != b"mpol":
            raise OSError(errno.EINVAL)

    def _word(self, option: Bytes) -> None:
        if option != b"inode64" and option != b"inode32" and option != b"noswap":
            raise OSError(errno.EINVAL)


def parse_size(text: Bytes) -> u64:
    """A number with k, m, g or % behind it (of all memory); in bytes, or as it stands."""
    if len(text) == 0:
        raise OSError(errno.EINVAL)
    last = text[len(text) - 1] | 0x20
    if text[len(text) - 1] == 0x25:
        return scaled(text, total_memory() // 100)
    if last == 0x6B:
        return scaled(text, u64(1) << 10)
    if last == 0x6D:
        return scaled(text, u64(1) << 20)
    if last == 0x67:
        return scaled(text, u64(1) << 30)
    return min(parse_number(text), u64(LARGEST))


def scaled(text: Bytes, unit: u64) -> u64:
    """The number before the unit's letter; LARGEST for more than that."""
    number = parse_number(text[0 : len(text) - 1])
    return number * unit if number <= LARGEST // max(unit, u64(1)) else u64(LARGEST)


def total_memory() -> u64:
    """Bytes of memory there are."""
    return u64(buddy.total_pages()) * PAGE


def new_tmpfs(kind: FileSystemType, magic: u64, flags: u64, data: Bytes) -> Tmpfs:
    """An empty instance with its root directory."""
    from kaa.kernel.fs.tmpfs import inode as inodes

    superblock = Tmpfs(kind, magic, flags)
    superblock.parse(data)
    root = inodes.TmpfsDirectory(superblock, S_IFDIR | superblock.mode)
    root.uid = superblock.uid
    root.gid = superblock.gid
    superblock.root = root
    return superblock


@filesystem("tmpfs")
def mount_tmpfs(source: bytes, flags: u64, data: bytes) -> SuperBlock:
    """Half of memory, unless options say otherwise (tmpfs(5))."""
    superblock = new_tmpfs(find_type(b"tmpfs"), TMPFS_MAGIC, flags, data)
    if superblock.page_limit == 0 and not data.startswith(b"size=0"):
        superblock.page_limit = u64(buddy.total_pages()) // 2
    if superblock.inode_limit == 0:
        superblock.inode_limit = u64(buddy.total_pages()) // 2
    return superblock


@filesystem("ramfs")
def mount_ramfs(source: bytes, flags: u64, data: bytes) -> SuperBlock:
    """No limits; a mode may be given."""
    superblock = new_tmpfs(find_type(b"ramfs"), RAMFS_MAGIC, flags, data)
    superblock.page_limit = 0
    superblock.inode_limit = 0
    return superblock
