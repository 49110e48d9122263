# SPDX-License-Identifier: Apache-2.0
"""Open files of tmpfs: regular files and directories.

Locks: `SeekableFile.position_lock`; the inode's lock is taken after it, by writers and by who lists a directory.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.dirent import DT_DIR, type_of
from kaa.kernel.abi.fcntl import (
    F_SEAL_FUTURE_WRITE,
    F_SEAL_GROW,
    F_SEAL_SHRINK,
    F_SEAL_WRITE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    MAX_FILE_SIZE,
    O_APPEND,
    O_NOATIME,
    SEEK_CUR,
    SEEK_DATA,
    SEEK_HOLE,
    SEEK_SET,
)
from kaa.kernel.abi.statfs import RAMFS_MAGIC
from kaa.kernel.arch import machine
from kaa.kernel.fs.dentry import cache
from kaa.kernel.fs.file import SeekableFile
from kaa.kernel.fs.paged import PAGE, read_pages, seek_in
from kaa.kernel.fs.permission import CAP_FSETID, without_privilege_bits
from kaa.kernel.mm import frame
from kaa.kernel.mm.page_cache import MAX_PAGES
from kaa.kernel.mm.user import UserBuf
from kaa.kernel.signal import has_pending
from kaa.lang import i64, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.dirent import DirSink
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.path import Path
    from kaa.kernel.fs.tmpfs.entries import EntryList
    from kaa.kernel.fs.tmpfs.inode import TmpfsDirectory, TmpfsRegular
    from kaa.kernel.mm.page_cache import PageCache
    from kaa.kernel.mm.vma import Vma

AT_ONCE = 1024
"""Pages looked at while a cache's lock is held."""


class TmpfsFile(SeekableFile):
    """A regular file."""

    node: Final[TmpfsRegular]

    def __init__(self, node: TmpfsRegular, path: Path, flags: u32) -> None:
        super().__init__(path, flags)
        self.node = node

    def inode(self) -> Inode | None:
        """The file itself, whatever becomes of its name."""
        return self.node

    def read(self, buf: UserBuf) -> usize:
        """At the position."""
        with self.position_lock:
            done = self.read_at(buf, self.position)
            self.position += done
            return done

    def read_at(self, buf: UserBuf, offset: u64) -> usize:
        """pread(2)."""
        node = self.node
        cache = node.cache
        assert cache is not None
        done = read_pages(node, cache, buf, offset, True)
        if self.flags & O_NOATIME == 0:
            node.touch_accessed()
        return done

    def write(self, buf: UserBuf) -> usize:
        """At the position, or at the end with O_APPEND."""
        with self.position_lock:
            node = self.node
            with node.lock:
                if self.flags & O_APPEND:
                    self.position = node.size
                done = write_pages(node, buf, self.position)
            self.position += done
            return done

    def write_at(self, buf: UserBuf, offset: u64) -> usize:
        """pwrite(2); with O_APPEND at the end, as Linux does."""
        node = self.node
        with node.lock:
            at = node.size if self.flags & O_APPEND else offset
            return write_pages(node, buf, at)

    def append(self, buf: UserBuf) -> usize:
        """At the end."""
        node = self.node
        with node.lock:
            return write_pages(node, buf, node.size)

    def seek(self, offset: i64, whence: u32) -> u64:
        """lseek(2); holes are told page by page."""
        with self.position_lock:
            if whence == SEEK_DATA or whence == SEEK_HOLE:
                self.position = seek_hole(self.node, offset, whence == SEEK_DATA)
                return self.position
            return seek_in(self, offset, whence, self.node.size)

    def mmap(self, vma: Vma) -> None:
        """Any mapping; pages are the cache's."""
        cache = self.node.cache
        assert cache is not None
        vma.show(cache)

    def fsync(self) -> None:
        """Memory is all there is."""

    def truncate(self, size: u64) -> None:
        """ftruncate(2)."""
        node = self.node
        with node.lock:
            check_resize(node, size)
            node.truncate(size)

    def fallocate(self, mode: u32, offset: u64, length: u64) -> None:
        """fallocate(2): plain, KEEP_SIZE, PUNCH_HOLE and ZERO_RANGE; the rest is refused."""
        if mode & (0xFFFFFFFF - (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0:
            raise OSError(errno.EOPNOTSUPP)
        node = self.node
        if node.tmpfs.magic == RAMFS_MAGIC:
            raise OSError(errno.EOPNOTSUPP)
        with node.lock:
            if mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE):
                if node.seals & F_SEAL_WRITE:
                    raise OSError(errno.EPERM)
                erase(node, offset, length)
            if mode & FALLOC_FL_PUNCH_HOLE == 0:
                if mode & FALLOC_FL_KEEP_SIZE == 0:
                    check_resize(node, max(node.size, offset + length))
                fill_holes(node, offset, length)
                if mode & FALLOC_FL_KEEP_SIZE == 0 and offset + length > node.size:
                    node.size = offset + length
            node.touch_modified()


def check_resize(node: TmpfsRegular, size: u64) -> None:
    """Seals and RLIMIT_FSIZE of a new size. Raises PermissionError, OSError(EFBIG)."""
    if size < node.size and node.seals & F_SEAL_SHRINK or size > node.size and node.seals & F_SEAL_GROW:
        raise OSError(errno.EPERM)
    if size > u64(MAX_FILE_SIZE):
        raise OSError(errno.EFBIG)


def fill_holes(node: TmpfsRegular, offset: u64, length: u64) -> None:
    """Make every page of the range present. Raises OSError(ENOSPC), at once when there can be no room for all of them;
    OSError(EINTR) when a signal comes: it may take long."""
    cache = node.cache
    assert cache is not None
    first = offset // PAGE
    end = (offset + (length - 1)) // PAGE + 1 if length > 0 else first
    if end > MAX_PAGES:
        raise OSError(errno.EFBIG)
    node.tmpfs.require_pages(end - first - min(end - first, cache.page_count()))
    for index in range(first, end):
        if index & 0xFF == 0xFF and has_pending(machine.percpu.current()):
            raise OSError(errno.EINTR)
        frame.put_page(cache.read(index))


def seek_hole(node: TmpfsRegular, offset: i64, data: bool) -> u64:
    """lseek(2) with SEEK_DATA or SEEK_HOLE: the first byte from `offset` on that is in a page, or in none. Raises
    OSError(ENXIO)."""
    cache = node.cache
    assert cache is not None
    size = node.size
    if offset < 0 or u64(offset) >= size:
        raise OSError(errno.ENXIO)
    start = u64(offset) // PAGE
    end = size // PAGE + 1
    index = next_present(cache, start, end) if data else next_absent(cache, start, end)
    if data and index * PAGE >= size:
        raise OSError(errno.ENXIO)
    return min(max(index * PAGE, u64(offset)), size)


def next_present(cache: PageCache, start: u64, end: u64) -> u64:
    """The first page there is of [start, end); `end` if there is none."""
    with cache.lock:
        for index, _ in cache.tree.items(start, end):
            return index
    return end


def next_absent(cache: PageCache, start: u64, end: u64) -> u64:
    """The first page of [start, end) that is not there; some pages at a time, as a spinlock is held."""
    at = start
    while at < end:
        stop = min(end, at + AT_ONCE)
        with cache.lock:
            for index, _ in cache.tree.items(at, stop):
                if index != at:
                    break
                at += 1
        if at != stop:
            break
    return at


def erase(node: TmpfsRegular, offset: u64, length: u64) -> None:
    """Zero a range: whole pages are dropped, the rest cleared."""
    cache = node.cache
    assert cache is not None
    end = min(offset + length, (node.size + PAGE - 1) & ~u64(PAGE - 1))
    first = (offset + PAGE - 1) // PAGE
    last = end // PAGE
    if first < last:
        cache.punch(first, last)
        node.settle_pages()
    at = offset
    while at < end:
        stop = min(end, (at // PAGE + 1) * PAGE)
        if stop - at < PAGE:
            pfn = cache.lookup(at // PAGE)
            if pfn != 0:
                frame.contents(pfn)[at % PAGE : at % PAGE + (stop - at)].fill(0)
                frame.put_page(pfn)
        at = stop


def write_pages(node: TmpfsRegular, buf: UserBuf, offset: u64) -> usize:
    """Copy in at `offset`; the inode's lock is held. Raises OSError or MemoryError only when nothing was copied."""
    left = buf.remaining()
    if left == 0:
        return usize(0)
    if offset > u64(MAX_FILE_SIZE) - left:
        raise OSError(errno.EFBIG)
    if node.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_GROW) != 0:
        check_write_seals(node, offset + left)
    at = offset
    try:
        # A page of the caller's is faulted in before a page of the file is locked to copy into: it may be a mapping of
        # that very page. What a piece starts in is touched here, or with the end of the piece before, or (a piece that
        # starts with a page) with its own end.
        if buf.address & (PAGE - 1) != 0:
            buf.touch(usize(0))
        while left > 0:
            take = min(left, PAGE - (at & (PAGE - 1)))
            write_piece(node, buf, at, take)
            at += take
            left -= take
            if at > node.size:
                node.size = at
    except (OSError, MemoryError):
        if at == offset:
            raise
    node.touch_modified()
    if node.mode & 0o6000 and not machine.percpu.current().credentials.capable(CAP_FSETID):
        node.mode = without_privilege_bits(node.mode)
    return at - offset


def check_write_seals(node: TmpfsRegular, end: u64) -> None:
    """memfd_create(2), file sealing. Raises PermissionError."""
    if node.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) or (node.seals & F_SEAL_GROW and end > node.size):
        raise OSError(errno.EPERM)


def write_piece(node: TmpfsRegular, buf: UserBuf, at: u64, take: usize) -> None:
    """One page's share. A new page becomes visible only when it is filled, so that nobody sees what the frame held
    before."""
    cache = node.cache
    assert cache is not None
    index = at >> 12
    within = at & (PAGE - 1)
    pfn = cache.lookup(index)
    while pfn == 0:
        start = buf.address & (PAGE - 1)
        if start == 0 or start + take > PAGE:
            buf.touch(take - 1)
        node.charge_page()
        fresh = u64(0)
        try:
            fresh = cache.begin_fill(index)
        finally:
            if fresh == 0:
                node.uncharge_page()
        if fresh != 0:
            fill_fresh(node, index, fresh, buf, within, take)
            return
        pfn = cache.read(index)
    try:
        buf.copy_in(frame.contents(pfn)[within : within + take])
    finally:
        frame.put_page(pfn)


def fill_fresh(node: TmpfsRegular, index: u64, pfn: u64, buf: UserBuf, within: usize, take: usize) -> None:
    """Give a page that no one sees yet its contents: zeroes around what the caller writes."""
    cache = node.cache
    assert cache is not None
    contents = frame.contents(pfn)
    filled = False
    try:
        if take != PAGE:
            contents[0:within].fill(0)
            contents[within + take : PAGE].fill(0)
        buf.copy_in(contents[within : within + take])
        filled = True
    finally:
        if filled:
            cache.end_fill(pfn)
        else:
            cache.abandon(index, pfn)
            node.uncharge_page()
        frame.put_page(pfn)


class TmpfsDirectoryFile(SeekableFile):
    """A directory, for getdents. The position is a cookie: see entries.py."""

    node: Final[TmpfsDirectory]

    def __init__(self, node: TmpfsDirectory, path: Path, flags: u32) -> None:
        super().__init__(path, flags)
        self.node = node

    def inode(self) -> Inode | None:
        """The directory."""
        return self.node

    def read(self, buf: UserBuf) -> usize:
        """Refused."""
        raise IsADirectoryError

    def read_at(self, buf: UserBuf, offset: u64) -> usize:
        """Refused."""
        raise IsADirectoryError

    def fsync(self) -> None:
        """Nothing to do."""

    def seek(self, offset: i64, whence: u32) -> u64:
        """To a position that getdents told, or 0."""
        if whence != SEEK_CUR and whence != SEEK_SET:
            raise OSError(errno.EINVAL)
        with self.position_lock:
            return seek_in(self, offset, whence, u64(0))

    def readdir(self, sink: DirSink) -> None:
        """The dots, then the entries in the order in which they were made."""
        node = self.node
        with self.position_lock:
            with node.lock:
                self._list(node.entries, sink)
        node.touch_accessed()

    def _list(self, entries: EntryList, sink: DirSink) -> None:
        if not emit_dots(self, sink):
            return
        order = entries.order
        for at in range(entries.index_from(self.position), len(order)):
            entry = order[at]
            inode = entry.inode
            if inode is not None:
                if not sink.emit(entry.name, inode.number, type_of(inode.mode), entry.cookie + 1):
                    return
            self.position = entry.cookie + 1


def emit_dots(file: File, sink: DirSink) -> bool:
    """The first two entries of any directory file whose positions 0 and 1 they are. False when the sink is full."""
    path = file.path
    assert path is not None
    if file.position == 0:
        if not sink.emit(b".", path.inode().number, DT_DIR, 1):
            return False
        file.position = 1
    if file.position == 1:
        parent = cache.parent_of(path.dentry)
        above = None if parent is None else parent.inode
        number = path.inode().number if above is None else above.number
        if not sink.emit(b"..", number, DT_DIR, 2):
            return False
        file.position = 2
    return True
