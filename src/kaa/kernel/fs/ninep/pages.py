# SPDX-License-Identifier: Apache-2.0
"""Filling the page cache from a 9P server, and writing dirty pages back.

One Tread brings a window of pages, straight into their frames: a small file whole, of a large one an aligned piece of
32 pages where it is read at random and, as long as it is read in order, twice as many each time, up to what one
message can carry. Pages that are in the cache already end the window, as does lack of memory.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.ninep import Message
from kaa.kernel.fs.ninep import operations
from kaa.kernel.fs.ninep.client import message
from kaa.kernel.fs.ninep.request import DATA_SEGMENTS
from kaa.kernel.mm import buddy, frame
from kaa.lang import ZERO, Array, struct, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.ninep.fids import Fid
    from kaa.kernel.fs.ninep.regular import NinepRegular
    from kaa.kernel.mm.page_cache import PageCache

PAGE_SIZE = 4096
SMALL_FILE = 64
"""Pages of a file that is read whole."""
FIRST_WINDOW = 32


def fill(inode: NinepRegular, index: u64, pfn: u64) -> None:
    """Fill the page at `index`, and others around it. Raises OSError of the server's; then only this page is
    abandoned by the caller, the others here."""
    reader = inode.reading_fid()
    window = Window()
    window.gather(inode, index, pfn)
    got: u32 = 0
    try:
        got = window.read(inode, reader)
    finally:
        window.give(inode, index, got)
    finish_asked(inode, reader, index, pfn, window.start, got)


@struct
class Window:
    """The pages of one Tread: `count` in a row from page `start` of the file on, with frame numbers."""

    start: u64 = 0
    count: u32 = 0
    frames: Array[u64, DATA_SEGMENTS] = ZERO

    def gather(self, inode: NinepRegular, index: u64, pfn: u64) -> None:
        """Claim the pages around `index` that are not in the cache, as far as the window and memory go."""
        cache = inode.page_cache()
        first, end = limits(inode, index)
        self.start = index
        while self.start > first and self.claim(cache, self.start - 1, DATA_SEGMENTS - 1 - u32(index - self.start)):
            self.start -= 1
        before = u32(index - self.start)
        for number in range(before):
            self.frames[number] = self.frames[DATA_SEGMENTS - before + number]
        self.frames[before] = pfn
        self.count = before + 1
        while index + (self.count - before) < end and self.claim(cache, self.start + self.count, self.count):
            self.count += 1
        inode.window.store_relaxed(self.count)
        inode.next_page.store_relaxed(self.start + self.count)

    def claim(self, cache: PageCache, index: u64, slot: u32) -> bool:
        """A new page at `index`, noted in a slot; False when there is one already, or no memory for one."""
        try:
            pfn = cache.begin_fill(index)
        except (OSError, MemoryError):
            return False
        if pfn == 0:
            return False
        self.frames[slot] = pfn
        return True

    def read(self, inode: NinepRegular, reader: Fid) -> u32:
        """One Tread into the frames; bytes that came."""
        client = inode.mounted.client
        with message(client, Message.TREAD) as request:
            operations.begin_read(request, reader, self.start * PAGE_SIZE, self.count * PAGE_SIZE)
            for number in range(self.count):
                request.receive_page(self.frames[number] * PAGE_SIZE, PAGE_SIZE)
            client.call(request)
            return operations.read_result(request, self.count * PAGE_SIZE)

    def give(self, inode: NinepRegular, index: u64, got: u32) -> None:
        """Pages besides the one at `index` that came whole, or to the file's end, are good; the others were not
        read."""
        cache = inode.page_cache()
        at_end = self.start * PAGE_SIZE + got >= inode.size
        for number in range(self.count):
            if self.start + number == index:
                continue
            pfn = self.frames[number]
            offset = u32(number) * PAGE_SIZE
            if got >= offset + PAGE_SIZE:
                cache.end_fill(pfn)
            elif got > offset and at_end:
                frame.contents(pfn)[usize(got - offset) : PAGE_SIZE].fill(0)
                cache.end_fill(pfn)
            else:
                cache.abandon(self.start + number, pfn)
            frame.put_page(pfn)


def limits(inode: NinepRegular, index: u64) -> tuple[u64, u64]:
    """The first page that may be asked for with `index`, and the one after the last: a small file whole, of a large one
    an aligned piece, or when it is read in order what follows, twice as much each time."""
    total = max(inode.page_cache().size_in_pages(), index + 1)
    most = min(u64(DATA_SEGMENTS), u64(inode.mounted.client.data_limit() // PAGE_SIZE), total)
    if buddy.is_low():
        return index, index + 1
    if total <= min(SMALL_FILE, most):
        return u64(0), total
    if index == inode.next_page.load_relaxed() and index > 0:
        return index, min(index + min(u64(inode.window.load_relaxed()) * 2, most), total)
    piece = max(min(most, FIRST_WINDOW), u64(1))
    first = index // piece * piece
    return first, min(first + piece, total)


def finish_asked(inode: NinepRegular, reader: Fid, index: u64, pfn: u64, start: u64, got: u32) -> None:
    """A server may send less than was asked for: ask for the rest of the page at `index` until there is no more."""
    before = u32(index - start) * PAGE_SIZE
    have = min(got - min(got, before), u32(PAGE_SIZE))
    while have < PAGE_SIZE and index * PAGE_SIZE + have < inode.size:
        more = operations.read(
            inode.mounted.client, reader, index * PAGE_SIZE + have, pfn * PAGE_SIZE + have, PAGE_SIZE - have
        )
        if more == 0:
            break
        have += more
    if have < PAGE_SIZE:
        frame.contents(pfn)[usize(have) : PAGE_SIZE].fill(0)


def write(inode: NinepRegular, index: u64, pfn: u64) -> None:
    """Send a page that a mapping dirtied to the server, as far as the file goes. Raises OSError."""
    start = index * PAGE_SIZE
    if start >= inode.size:
        return
    writer = inode.opened_writer()
    if writer is None:
        raise OSError(errno.EIO)
    left = u32(min(inode.size - start, u64(PAGE_SIZE)))
    done: u32 = 0
    while done < left:
        sent = operations.write(inode.mounted.client, writer, start + done, pfn * PAGE_SIZE + done, left - done)
        if sent == 0:
            raise OSError(errno.EIO)
        done += sent
