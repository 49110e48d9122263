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
from kaa.lang import i64, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.mm.page_cache import PageCache
    from kaa.kernel.mm.user import UserBuf

PAGE = 4096


def read_pages(inode: Inode, cache: PageCache, buf: UserBuf, offset: u64, holes: bool) -> usize:
    """Copy out from `offset`, up to the end of the file. `holes`: an absent page is zeroes, else it is to be read in.
    Raises OSError only when nothing was copied."""
    size = inode.size
    if offset >= size:
        return usize(0)
    left = min(buf.remaining(), size - offset)
    done: usize = usize(0)
    at = offset
    try:
        while left > 0:
            within = at & (PAGE - 1)
            take = min(left, PAGE - within)
            pfn = cache.lookup(at >> 12) if holes else cache.read(at >> 12)
            if pfn == 0:
                buf.clear(take)
            else:
                try:
                    buf.copy_out(frame.contents(pfn)[within : within + take])
                finally:
                    frame.put_page(pfn)
            at += take
            done += take
            left -= take
    except (OSError, MemoryError):
        if done == 0:
            raise
    return done


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
        raise OSError(errno.EOVERFLOW if whence != SEEK_SET else errno.EINVAL)
    target = base + offset
    if target < 0:
        raise OSError(errno.EINVAL)
    file.position = u64(target)
    return u64(target)
