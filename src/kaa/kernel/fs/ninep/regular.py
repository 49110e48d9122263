# SPDX-License-Identifier: Apache-2.0
"""Regular files of a 9P server.

Reading goes through the page cache (pages.py fills it); writing goes to the server at once and into pages that are
cached, so the cache is never ahead of the server but for pages that a shared mapping dirtied.
Two fids do the work, opened when first needed and kept: one to read and one to write with, maybe the same.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import O_ACCMODE, O_RDONLY, O_WRONLY
from kaa.kernel.abi.ninep import OpenFlag, Setattr
from kaa.kernel.fs.ninep import operations, pages
from kaa.kernel.fs.ninep.inode import NinepInode
from kaa.kernel.fs.ninep.operations import Attributes, NewAttributes
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.mm.page_cache import PageCache
from kaa.lang import Atomic, Guarded, Once, noinline, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.ninep.fids import Fid
    from kaa.kernel.fs.ninep.superblock import NinepSuperBlock
    from kaa.kernel.fs.path import Path


class NinepRegular(NinepInode):
    """A regular file. `reader` and `writer` are set once, under a lock of their own, `opening`: a page fault may come
    here, and so the inode's own lock, under which user memory is copied, would not do."""

    opening: Final[Mutex]

    reader: Guarded[Once[Fid | None], "opening"] = None
    writer: Guarded[Once[Fid | None], "opening"] = None
    next_page: Atomic[u64]
    """Where sequential reading would go on."""
    window: Atomic[u32]
    """Pages that the last read-ahead brought."""

    def __init__(self, superblock: NinepSuperBlock, fid: Fid, attributes: Attributes) -> None:
        super().__init__(superblock, fid, attributes)
        self.opening = Mutex("9p opening")
        self.next_page = Atomic(0)
        self.window = Atomic(0)
        cache = PageCache(self)
        cache.backed = True
        self.cache = cache

    def take_opened(self, fid: Fid) -> None:
        """A fid that creating the file has opened for reading and writing."""
        with self.opening:
            if self.reader is None:
                self.reader = fid
            if self.writer is None:
                self.writer = fid

    def open(self, flags: u32, path: Path) -> File:
        from kaa.kernel.fs.ninep.files import NinepFile

        if not self.mounted.loose:
            self.revalidate()
        access = flags & O_ACCMODE
        if access != O_RDONLY:
            self.writing_fid()
        if access != O_WRONLY:
            self.reading_fid()
        return NinepFile(path, flags, self)

    def reading_fid(self) -> Fid:
        """The fid to read with; opened on first use."""
        known = self.reader
        if known is not None:
            return known
        with self.opening:
            reader = self.reader
            if reader is None:
                reader = self.open_for_reading()
                self.reader = reader
        return reader

    def open_for_reading(self) -> Fid:
        """The file's own fid, or a fresh one, opened for reading."""
        fid = self.fid if self.mounted.opens_in_place() else self.clone()
        if not fid.opened.load_relaxed():
            operations.open_(self.mounted.client, fid, OpenFlag.RDONLY)
        return fid

    def writing_fid(self) -> Fid:
        """The fid to write with: for both directions if the server lets us."""
        known = self.writer
        if known is not None:
            return known
        with self.opening:
            writer = self.writer
            if writer is None:
                writer = self.open_for_writing()
                self.writer = writer
        return writer

    @noinline
    def opened_writer(self) -> Fid | None:
        """The fid to write with, if the file was ever opened for writing."""
        return self.writer

    def open_for_writing(self) -> Fid:
        """A fresh fid, opened for reading and writing or else only for writing."""
        fid = self.clone()
        try:
            operations.open_(self.mounted.client, fid, OpenFlag.RDWR)
            if self.reader is None:
                self.reader = fid
        except PermissionError:
            operations.open_(self.mounted.client, fid, OpenFlag.WRONLY)
        return fid

    def clone(self) -> Fid:
        """A second fid of the file."""
        return operations.walk(self.mounted.client, self.fid, b"")

    def revalidate(self) -> None:
        """Strict mounts, at open: ask for the attributes; drop pages of a file that changed on the server."""
        version = self.version
        modified = self.modified
        size = self.size
        self.refresh()
        cache = self.cache
        if cache is not None and (version != self.version or modified != self.modified or size != self.size):
            cache.invalidate(0, u64(1) << 32)
            cache.truncate(self.size)

    def truncate(self, size: u64) -> None:
        new = NewAttributes()
        new.valid = Setattr.SIZE
        new.size = size
        operations.setattr_(self.mounted.client, self.fid, new)
        old = self.size
        self.size = size
        cache = self.cache
        if cache is not None and size < old:
            cache.truncate(size)
        self.touch_modified()

    def read_page(self, index: u64, pfn: u64) -> None:
        pages.fill(self, index, pfn)

    def write_page(self, index: u64, pfn: u64) -> None:
        pages.write(self, index, pfn)

    def page_cache(self) -> PageCache:
        """The cache; every regular file has one."""
        cache = self.cache
        if cache is None:
            raise OSError(errno.EIO)
        return cache

    def blocks(self) -> u64:
        return max(self.server_blocks, (self.size + 511) // 512)
