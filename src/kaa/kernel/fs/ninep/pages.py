# SPDX-License-Identifier: Apache-2.0
"""Filling the page cache from a 9P server, and writing dirty pages back.

One Tread brings a window of pages, straight into their frames: a small file whole, of a large one 16 pages where it is
read at random and, as long as it is read in order, twice as many each time, up to what one message can carry.
Pages that are in the cache already end the window, as does lack of memory.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.ninep import Message
from kaa.kernel.fs.ninep import operations
from kaa.kernel.fs.ninep.client import message
from kaa.kernel.fs.ninep.request import DATA_SEGMENTS
from kaa.kernel.mm import buddy, frame
from kaa.lang import Array, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.ninep.fids import Fid
    from kaa.kernel.fs.ninep.regular import NinepRegular
    from kaa.kernel.mm.page_cache import PageCache

PAGE_SIZE = 4096
SMALL_FILE = 64
"""Pages of a file that is read whole."""
FIRST_WINDOW = 16
LOW_MEMORY_WINDOW = 2


def fill(inode: NinepRegular, index: u64, pfn: u64) -> None:
    """Fill the page at `index`, and read ahead. Raises OSError of the server's; then only this page is abandoned, by
    the caller."""
    reader = inode.reading_fid()
    cache = inode.page_cache()
    frames = Array[u64, DATA_SEGMENTS]()
    frames[0] = pfn
    count = gather(inode, cache, index, frames)
    got: u32 = 0
    try:
        got = read(inode, reader, index, frames, count)
    finally:
        give_ahead(inode, cache, index, frames, count, got)
    finish_first(inode, reader, index, pfn, got)


def window_for(inode: NinepRegular, index: u64) -> u32:
    """How many pages to ask for, from `index` on."""
    total = inode.page_cache().size_in_pages()
    limit = min(u32(DATA_SEGMENTS), inode.mounted.client.data_limit() // PAGE_SIZE)
    if buddy.is_low():
        wanted: u32 = LOW_MEMORY_WINDOW
    elif total <= SMALL_FILE:
        wanted = SMALL_FILE
    elif index == inode.next_page and index > 0:
        wanted = inode.window * 2
    else:
        wanted = FIRST_WINDOW
    wanted = max(min(wanted, limit), u32(1))
    return u32(min(u64(wanted), total - index)) if total > index else u32(1)


def gather(inode: NinepRegular, cache: PageCache, index: u64, frames: Array[u64, DATA_SEGMENTS]) -> u32:
    """Claim the pages behind the first one; how many there are with it."""
    wanted = window_for(inode, index)
    count: u32 = 1
    while count < wanted:
        try:
            pfn = cache.begin_fill(index + count)
        except (OSError, MemoryError):
            break
        if pfn == 0:
            break
        frames[count] = pfn
        count += 1
    inode.window = count
    inode.next_page = index + count
    return count


def read(inode: NinepRegular, reader: Fid, index: u64, frames: Array[u64, DATA_SEGMENTS], count: u32) -> u32:
    """One Tread into the frames; bytes that came."""
    client = inode.mounted.client
    with message(client, Message.TREAD) as request:
        operations.begin_read(request, reader, index * PAGE_SIZE, count * PAGE_SIZE)
        for number in range(count):
            request.receive_page(frames[number] * PAGE_SIZE, PAGE_SIZE)
        client.call(request)
        return operations.read_result(request, count * PAGE_SIZE)


def give_ahead(
    inode: NinepRegular, cache: PageCache, index: u64, frames: Array[u64, DATA_SEGMENTS], count: u32, got: u32
) -> None:
    """Pages behind the first that came whole, or to the file's end, are good; the others were not read."""
    size = inode.size
    for number in range(1, count):
        pfn = frames[number]
        start = u64(number) * PAGE_SIZE
        at_end = index * PAGE_SIZE + got >= size
        if got >= start + PAGE_SIZE:
            cache.end_fill(pfn)
        elif got > start and at_end:
            frame.contents(pfn)[usize(got - start) : PAGE_SIZE].fill(0)
            cache.end_fill(pfn)
        else:
            cache.abandon(index + number, pfn)
        frame.put_page(pfn)


def finish_first(inode: NinepRegular, reader: Fid, index: u64, pfn: u64, got: u32) -> None:
    """A server may send less than was asked for: ask for the rest of the first page until there is no more."""
    have = min(got, u32(PAGE_SIZE))
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
    writer = inode.writer
    if writer is None:
        raise OSError(errno.EIO)
    left = u32(min(inode.size - start, u64(PAGE_SIZE)))
    done: u32 = 0
    while done < left:
        sent = operations.write(inode.mounted.client, writer, start + done, pfn * PAGE_SIZE + done, left - done)
        if sent == 0:
            raise OSError(errno.EIO)
        done += sent
