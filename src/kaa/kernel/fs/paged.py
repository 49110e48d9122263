# SPDX-License-Identifier: Apache-2.0
"""Reading and writing a regular file through its page cache: one copy per page, straight between the frame and the
user.

A hole (a page that is absent from a cache which is the file's only home) reads as zeroes without becoming a page.
Reads are not atomic against writes beyond a page, as POSIX leaves open and Linux's own file systems do.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import MAX_FILE_SIZE, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET
from kaa.kernel.fs.inode import Inode
from kaa.kernel.mm import frame
from kaa.lang import Array, Slice, i64, inline, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.mm.page_cache import PageCache
    from kaa.kernel.mm.user import UserBuf

PAGE = 4096
RUN = 16
LEAF = 64
"""Slots of a leaf of the cache's radix tree."""


def read_pages(inode: Inode, cache: PageCache, buf: UserBuf, offset: u64, holes: bool) -> usize:
    """Copy out from `offset`, up to the end of the file. `holes`: an absent page is zeroes, else it is to be read in.
    Raises OSError only when nothing was copied."""
    size = inode.size
    if offset >= size:
        return usize(0)
    end = offset + min(buf.remaining(), size - offset)
    if holes:
        return read_resident(cache, buf, offset, end)
    return read_through(cache, buf, offset, end)


def read_through(cache: PageCache, buf: UserBuf, offset: u64, end: u64) -> usize:
    """Page by page, each brought in if need be."""
    at = offset
    try:
        while at < end:
            within = at & (PAGE - 1)
            take = min(end - at, PAGE - within)
            pfn = cache.read(at >> 12)
            try:
                buf.copy_out(frame.contents(pfn)[within : within + take])
            finally:
                frame.put_page(pfn)
            at += take
    except (OSError, MemoryError):
        if at == offset:
            raise
    return at - offset


def read_resident(cache: PageCache, buf: UserBuf, offset: u64, end: u64) -> usize:
    """In runs of up to RUN pages that are looked up together. Raises OSError(EFAULT) when nothing was copied."""
    frames = Array[u64, RUN]()
    at = offset
    while at < end:
        first = at >> 12
        count = min(((end + (PAGE - 1)) >> 12) - first, min(u64(RUN), LEAF - (first & (LEAF - 1))))
        run = frames[0:count]
        hold_run(cache, first, run)
        stop = min(end, (first + count) << 12)
        at = copy_run(buf, at, stop, run)
        if at < stop:
            if at == offset:
                raise OSError(errno.EFAULT)
            break
    return at - offset


def hold_run(cache: PageCache, first: u64, frames: Slice[u64]) -> None:
    """References to the pages from `first` on, which share a leaf of the cache's tree; 0 where there is none."""
    with cache.lock:
        leaf = cache.tree.leaf_of(first)
        index = first
        for at in range(len(frames)):
            pfn = cache.tree.get(index) if leaf is None else leaf.values[index & (LEAF - 1)]
            if pfn != 0:
                if frame.test_flags(pfn, frame.UPTODATE):
                    frame.get_page(pfn)
                else:
                    pfn = u64(0)
            frames[at] = pfn
            index += 1


def copy_run(buf: UserBuf, start: u64, stop: u64, frames: Slice[u64]) -> u64:
    """Copy a run out, frames in a row as one, and give its pages back; where it got to: before `stop` only after a
    fault."""
    at = start
    index: usize = 0
    while at < stop:
        row = in_a_row(frames[index:])
        within = at & (PAGE - 1)
        take = min(stop - at, (row << 12) - within)
        left = buf.take_frames(frames[index], within, take) if frames[index] != 0 else clear(buf, take)
        at += take - left
        if left != 0:
            break
        index += row
    for pfn in frames:
        if pfn != 0:
            frame.put_page(pfn)
    return at


@inline
def in_a_row(frames: Slice[u64]) -> usize:
    """How many frames, from the first on, lie one after the other in memory. A hole stands alone."""
    first = frames[0]
    count: usize = 1
    while count < len(frames) and frames[count] == first + count and first != 0:
        count += 1
    return count


def clear(buf: UserBuf, n: usize) -> usize:
    """n zeroes for a hole; gives how many could not be stored."""
    before = buf.remaining()
    try:
        buf.clear(n)
    except OSError:
        return n - (before - buf.remaining())
    return usize(0)


def seek_in(file: File, offset: i64, whence: u32, size: u64) -> u64:
    """lseek(2) in a file of `size` bytes without known holes. Sets and returns the position."""
    base: i64 = i64(0)
    if whence == SEEK_CUR:
        base = i64(file.position)
    elif whence == SEEK_END:
        base = i64(size)
    elif whence == SEEK_DATA or whence == SEEK_HOLE:
        if offset < 0 or u64(offset) >= size:
            raise OSError(errno.ENXIO)
        if whence == SEEK_HOLE:
            base = i64(size) - offset
    elif whence != SEEK_SET:
        raise OSError(errno.EINVAL)
    if offset > 0 and base > MAX_FILE_SIZE - offset:
        raise OSError(errno.EINVAL)
    target = base + offset
    if target < 0:
        raise OSError(errno.EINVAL)
    file.position = u64(target)
    return u64(target)
