# SPDX-License-Identifier: Apache-2.0
"""Open regular files of a 9P server."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import MAX_FILE_SIZE, O_APPEND
from kaa.kernel.drivers.virtio.dma import DmaBuffer
from kaa.kernel.fs.file import SeekableFile
from kaa.kernel.fs.ninep import operations
from kaa.kernel.fs.paged import read_pages, seek_in
from kaa.kernel.mm import frame, page_cache
from kaa.kernel.mm.frame import LOCKED, UPTODATE
from kaa.lang import i64, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.ninep.regular import NinepRegular
    from kaa.kernel.fs.path import Path
    from kaa.kernel.mm.user import UserBuf
    from kaa.kernel.mm.vma import Vma

PAGE_SIZE = 4096
BOUNCE_ORDER = 4
"""Writes go through a buffer of up to 64 KiB."""


class NinepFile(SeekableFile):
    """Reads through the cache, writes to the server."""

    node: Final[NinepRegular]

    def __init__(self, path: Path, flags: u32, node: NinepRegular) -> None:
        super().__init__(path, flags)
        self.node = node

    def read(self, buf: UserBuf) -> usize:
        with self.position_lock:
            done = self.read_at(buf, self.position)
            self.position += done
            return done

    def read_at(self, buf: UserBuf, offset: u64) -> usize:
        return read_pages(self.node, self.node.page_cache(), buf, offset, False)

    def write(self, buf: UserBuf) -> usize:
        with self.position_lock:
            with self.node.lock:
                if self.flags & O_APPEND:
                    self.position = self.node.size
                done = self.write_through(buf, self.position)
            self.position += done
            return done

    def append(self, buf: UserBuf) -> usize:
        with self.node.lock:
            return self.write_through(buf, self.node.size)

    def write_at(self, buf: UserBuf, offset: u64) -> usize:
        with self.node.lock:
            return self.write_through(buf, self.node.size if self.flags & O_APPEND else offset)

    def write_through(self, buf: UserBuf, offset: u64) -> usize:
        """Send the caller's bytes to the server, and keep the cache right; the inode's lock is held."""
        if buf.remaining() == 0:
            return 0
        if offset > MAX_FILE_SIZE - buf.remaining():
            raise OSError(errno.EFBIG)
        bounce = self.bounce(buf.remaining())
        done: usize = 0
        while buf.remaining() > 0:
            try:
                count = min(buf.remaining(), bounce.size())
                buf.copy_in(bounce.bytes()[:count])
                sent = self.send(bounce, offset + done, count)
            except OSError:
                if done > 0:
                    return done
                raise
            done += sent
            if sent < count:
                break
        return done

    def bounce(self, wanted: usize) -> DmaBuffer:
        """A buffer for a write: large if it pays and memory allows."""
        if wanted <= PAGE_SIZE:
            return DmaBuffer(0)
        try:
            return DmaBuffer(BOUNCE_ORDER)
        except MemoryError:
            return DmaBuffer(0)

    def send(self, bounce: DmaBuffer, offset: u64, count: usize) -> usize:
        """Twrite until the server has all of the buffer, or takes no more; how much it has."""
        node = self.node
        writer = node.opened_writer()
        if writer is None:
            raise OSError(errno.EBADF)
        limit = node.mounted.client.write_limit()
        done: u32 = 0
        while done < count:
            piece = min(u32(count) - done, limit)
            sent = operations.write(node.mounted.client, writer, offset + done, bounce.physical() + done, piece)
            if sent == 0:
                break
            done += sent
        if done == 0:
            raise OSError(errno.EIO)
        self.written(bounce, offset, usize(done))
        return usize(done)

    def written(self, bounce: DmaBuffer, offset: u64, count: usize) -> None:
        """The server has new bytes: put them into the pages that are cached, and mind the size."""
        node = self.node
        done: usize = 0
        while done < count:
            at = offset + done
            within = at % PAGE_SIZE
            take = min(count - done, PAGE_SIZE - within)
            self.update_page(bounce, at // PAGE_SIZE, done, within, take)
            done += take
        node.size = max(node.size, offset + count)
        node.touch_modified()

    def update_page(self, bounce: DmaBuffer, index: u64, source: usize, within: u64, count: usize) -> None:
        """A page that is just being filled may get what the server had before: wait for that, then overwrite."""
        pfn = self.node.page_cache().find(index)
        if pfn == 0:
            return
        page_cache.wait_while(pfn, LOCKED)
        if frame.test_flags(pfn, UPTODATE):
            frame.contents(pfn)[within : within + count].copy_from(bounce.bytes()[source : source + count])
        frame.put_page(pfn)

    def seek(self, offset: i64, whence: u32) -> u64:
        with self.position_lock:
            return seek_in(self, offset, whence, self.node.size)

    def mmap(self, vma: Vma) -> None:
        vma.show(self.node.page_cache())

    def truncate(self, size: u64) -> None:
        with self.node.lock:
            self.node.truncate(size)

    def fsync(self) -> None:
        node = self.node
        node.page_cache().write_back(0, u64(1) << 32)
        writer = node.opened_writer()
        if writer is not None:
            operations.fsync(node.mounted.client, writer)
