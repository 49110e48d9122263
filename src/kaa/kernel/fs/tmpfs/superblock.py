# SPDX-License-Identifier: Apache-2.0
"""A tmpfs instance: its limits and what is used of them; mount options of tmpfs(5) (size, nr_blocks, nr_inodes, mode,
uid, gid).

`ramfs` is the same without a limit.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.stat import S_IFDIR
from kaa.kernel.abi.statfs import RAMFS_MAGIC, TMPFS_MAGIC, Statfs
from kaa.kernel.fs.superblock import FileSystemType, SuperBlock, filesystem, find_type
from kaa.kernel.fs.text import parse_number
from kaa.kernel.mm import buddy
from kaa.lang import Atomic, Bytes, i64, struct, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.text import TextBuffer

PAGE = 4096
LARGEST = 1 << 50
"""What a size option says at most, whatever it says: sums with it do not overflow."""


@struct
class Options:
    """What mount(2)'s data says (tmpfs(5))."""

    page_limit: u64 = 0
    inode_limit: u64 = 0
    mode: u32 = 0o1777
    uid: u32 = 0
    gid: u32 = 0

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
            _check_word(option)
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


def _check_word(option: Bytes) -> None:
    if option != b"inode64" and option != b"inode32" and option != b"noswap":
        raise OSError(errno.EINVAL)


class Tmpfs(SuperBlock):
    """Limits (0: none) and use, in pages and inodes."""

    page_limit: Atomic[u64]
    inode_limit: Atomic[u64]
    pages: Atomic[u64]
    inodes: Atomic[u64]
    numbers: Atomic[u64]
    mode: Final[u32]
    """Of the root directory at first."""

    def __init__(self, kind: FileSystemType, magic: u64, flags: u64, options: Options) -> None:
        super().__init__(kind, magic, flags)
        self.page_limit = Atomic(options.page_limit)
        self.inode_limit = Atomic(options.inode_limit)
        self.pages = Atomic(0)
        self.inodes = Atomic(0)
        self.numbers = Atomic(1)
        self.mode = options.mode

    def next_number(self) -> u64:
        """A fresh inode number."""
        return self.numbers.fetch_add(1)

    def charge_page(self) -> None:
        """One more page is used. Raises OSError(ENOSPC)."""
        limit = self.page_limit.load_relaxed()
        if self.pages.fetch_add(1) >= limit and limit != 0:
            self.pages.fetch_sub(1)
            raise OSError(errno.ENOSPC)

    def require_pages(self, count: u64) -> None:
        """Whether so many could be had now. Raises OSError(ENOSPC)."""
        limit = self.page_limit.load_relaxed()
        if limit != 0 and count > limit - min(self.pages.load(), limit):
            raise OSError(errno.ENOSPC)

    def uncharge_pages(self, count: u64) -> None:
        """That many are free again."""
        self.pages.fetch_sub(count)

    def charge_inode(self) -> None:
        """One more inode. Raises OSError(ENOSPC)."""
        limit = self.inode_limit.load_relaxed()
        if self.inodes.fetch_add(1) >= limit and limit != 0:
            self.inodes.fetch_sub(1)
            raise OSError(errno.ENOSPC)

    def uncharge_inode(self) -> None:
        """One less."""
        self.inodes.fetch_sub(1)

    def statfs(self, into: Statfs) -> None:
        """Limits and what is left."""
        pages = self.page_limit.load_relaxed()
        into.f_blocks = i64(pages)
        into.f_bfree = i64(pages - min(self.pages.load(), pages))
        into.f_bavail = into.f_bfree
        inodes = self.inode_limit.load_relaxed()
        into.f_files = i64(inodes)
        into.f_ffree = i64(inodes - min(self.inodes.load(), inodes))

    def remount(self, flags: u64, data: Bytes) -> None:
        """Flags, and limits that are not below what is used."""
        options = Options(self.page_limit.load_relaxed(), self.inode_limit.load_relaxed())
        options.parse(data)
        if options.page_limit != 0 and options.page_limit < self.pages.load():
            raise OSError(errno.EINVAL)
        self.page_limit.store_relaxed(options.page_limit)
        self.inode_limit.store_relaxed(options.inode_limit)
        self.flags = flags

    def options(self, out: TextBuffer) -> None:
        """As tmpfs(5) writes them."""
        limit = self.page_limit.load_relaxed()
        if limit != 0:
            out.add(b",size=")
            out.decimal(limit * 4)
            out.byte(0x6B)
        if self.mode != 0o1777:
            out.add(b",mode=")
            out.octal(u64(self.mode))


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


def new_tmpfs(kind: FileSystemType, magic: u64, flags: u64, options: Options) -> Tmpfs:
    """An empty instance with its root directory."""
    from kaa.kernel.fs.tmpfs import inode as inodes

    superblock = Tmpfs(kind, magic, flags, options)
    root = inodes.TmpfsDirectory(superblock, S_IFDIR | options.mode)
    with root.lock:
        root.uid = options.uid
        root.gid = options.gid
    superblock.set_root(root)
    return superblock


@filesystem("tmpfs")
def mount_tmpfs(source: bytes, flags: u64, data: bytes) -> SuperBlock:
    """Half of memory, unless options say otherwise (tmpfs(5))."""
    options = Options()
    options.parse(data)
    if options.page_limit == 0 and not data.startswith(b"size=0"):
        options.page_limit = u64(buddy.total_pages()) // 2
    if options.inode_limit == 0:
        options.inode_limit = u64(buddy.total_pages()) // 2
    return new_tmpfs(find_type(b"tmpfs"), TMPFS_MAGIC, flags, options)


@filesystem("ramfs")
def mount_ramfs(source: bytes, flags: u64, data: bytes) -> SuperBlock:
    """No limits; a mode may be given."""
    options = Options()
    options.parse(data)
    options.page_limit = 0
    options.inode_limit = 0
    return new_tmpfs(find_type(b"ramfs"), RAMFS_MAGIC, flags, options)
