# SPDX-License-Identifier: Apache-2.0
"""read(2), write(2), their positioned and vectored forms, lseek(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import IOV_MAX, MAX_FILE_SIZE, MAX_RW_COUNT
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.abi.uio import RWF_APPEND, RWF_DSYNC, RWF_NOWAIT, RWF_SUPPORTED, RWF_SYNC, Iovec
from kaa.kernel.arch import machine
from kaa.kernel.mm import buddy, frame
from kaa.kernel.mm.user import UserBuf, UserPtr, kernel_buffer
from kaa.kernel.net.pieces import vectored
from kaa.kernel.net.unix.socket import UnixSocket
from kaa.lang import i64, inline, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File

PAGE = 4096
AT_POSITION = -1
AT_END = -2
"""Offsets that are none: where read and write go, where RWF_APPEND does."""


@inline
def readable_file(fd: Fd) -> File:
    """The file, if it was opened for reading. Raises OSError(EBADF)."""
    file = machine.percpu.current().files.get(fd)
    if not file.readable():
        raise OSError(errno.EBADF)
    return file


@inline
def writable_file(fd: Fd) -> File:
    """The file, if it was opened for writing. Raises OSError(EBADF)."""
    file = machine.percpu.current().files.get(fd)
    if not file.writable():
        raise OSError(errno.EBADF)
    return file


@inline
def bounded(count: usize) -> usize:
    """How much one call moves at most. Raises OSError(EINVAL) for a count that is negative as ssize_t."""
    if count > MAX_RW_COUNT:
        if count > MAX_FILE_SIZE:
            raise OSError(errno.EINVAL)
        return usize(MAX_RW_COUNT)
    return count


@inline
def require_span(offset: i64, count: usize) -> None:
    """Raises OSError(EINVAL) for bytes beyond the last offset there is (a loff_t)."""
    if u64(offset) > MAX_FILE_SIZE - count:
        raise OSError(errno.EINVAL)


@syscall(x86_64=0, arm64=63)
def read(fd: Fd, buf: UserBuf, count: usize) -> usize:
    """read(2): up to `count` bytes from the file's position; 0 at its end."""
    file = readable_file(fd)
    return file.read(buf.first(bounded(count)))


@syscall(x86_64=1, arm64=64)
def write(fd: Fd, buf: UserBuf, count: usize) -> usize:
    """write(2): up to `count` bytes at the file's position."""
    file = writable_file(fd)
    return file.write(buf.first(bounded(count)))


@syscall(x86_64=17, arm64=67)
def pread64(fd: Fd, buf: UserBuf, count: usize, offset: i64) -> usize:
    """pread(2): read at `offset`; the position stays."""
    if offset < 0:
        raise OSError(errno.EINVAL)
    file = readable_file(fd)
    length = bounded(count)
    require_span(offset, length)
    return file.read_at(buf.first(length), u64(offset))


@syscall(x86_64=18, arm64=68)
def pwrite64(fd: Fd, buf: UserBuf, count: usize, offset: i64) -> usize:
    """pwrite(2): write at `offset`; the position stays."""
    if offset < 0:
        raise OSError(errno.EINVAL)
    file = writable_file(fd)
    length = bounded(count)
    require_span(offset, length)
    return file.write_at(buf.first(length), u64(offset))


@syscall(x86_64=8, arm64=62)
def lseek(fd: Fd, offset: i64, whence: u32) -> u64:
    """lseek(2): move the file's position."""
    return machine.percpu.current().files.get(fd).seek(offset, whence)


def _check_vector(vector: UserPtr[Iovec], count: usize) -> usize:
    """As readv(2): at most IOV_MAX pieces, none negative, the sum within ssize_t. How much one call moves of it."""
    if count > IOV_MAX:
        raise OSError(errno.EINVAL)
    total: u64 = u64(0)
    for index in range(count):
        length = vector.offset(index).read().iov_len
        if length > MAX_FILE_SIZE or total + length > MAX_FILE_SIZE:
            raise OSError(errno.EINVAL)
        total += length
    return min(total, MAX_RW_COUNT)


def _move(file: File, piece: UserBuf, writing: bool, offset: i64) -> usize:
    """One piece."""
    if offset == AT_POSITION:
        return file.write(piece) if writing else file.read(piece)
    if offset == AT_END:
        return file.append(piece)
    return file.write_at(piece, u64(offset)) if writing else file.read_at(piece, u64(offset))


def _vectored(file: File, vector: UserPtr[Iovec], count: usize, writing: bool, offset: i64) -> usize:
    """The vector forms. An error after some bytes gives the bytes."""
    total = _check_vector(vector, count)
    if offset >= 0:
        require_span(offset, total)
    if offset == AT_POSITION and isinstance(file, UnixSocket):
        pieces = vectored(vector, count)
        return file.send(pieces) if writing else file.receive(pieces)
    if writing and count > 1 and 0 < total <= PAGE:
        return _gathered(file, vector, count, total, offset)
    return _one_by_one(file, vector, count, total, writing, offset)


def _gathered(file: File, vector: UserPtr[Iovec], count: usize, total: usize, offset: i64) -> usize:
    """Up to a page is written as one piece: small writes to pipes and to the end of a file are atomic (pipe(7),
    write(2)). When the caller's memory faults, or changes its mind, the pieces go one by one."""
    pfn = u64(buddy.allocate_page())
    try:
        page = frame.contents(pfn)
        done: usize = usize(0)
        for index in range(count):
            piece = vector.offset(index).read()
            length = min(piece.iov_len, total - done)
            try:
                UserBuf(piece.iov_base, length).copy_in(page[done : done + length])
            except OSError:
                return _one_by_one(file, vector, count, total, True, offset)
            done += length
        return _move(file, kernel_buffer(page[0:done]), True, offset)
    finally:
        frame.put_page(pfn)


def _one_by_one(file: File, vector: UserPtr[Iovec], count: usize, total: usize, writing: bool, offset: i64) -> usize:
    """Piece after piece until one comes short. No more than `total`, whatever the vector holds by now."""
    done: usize = usize(0)
    for index in range(count):
        piece = vector.offset(index).read()
        length = min(piece.iov_len, total - done)
        if length == 0 and not (count == 1 or (done == 0 and index + 1 == count)):
            continue
        try:
            at = offset if offset < 0 else offset + i64(done)
            if done > 0 and not writing and not _has_more(file):
                break
            moved = _move(file, UserBuf(piece.iov_base, length), writing, at)
        except (OSError, MemoryError):
            if done == 0:
                raise
            break
        done += moved
        if moved < length:
            break
    return done


def _has_more(file: File) -> bool:
    """Before the second and later pieces of a readv: whether a stream would not make the call wait again."""
    return file.seekable() or file.poll(None) & 1 != 0


@syscall(x86_64=19, arm64=65)
def readv(fd: Fd, vector: UserPtr[Iovec], count: usize) -> usize:
    """readv(2): read into several buffers."""
    return _vectored(readable_file(fd), vector, count, False, i64(AT_POSITION))


@syscall(x86_64=20, arm64=66)
def writev(fd: Fd, vector: UserPtr[Iovec], count: usize) -> usize:
    """writev(2): write from several buffers."""
    return _vectored(writable_file(fd), vector, count, True, i64(AT_POSITION))


@syscall(x86_64=295, arm64=69)
def preadv(fd: Fd, vector: UserPtr[Iovec], count: usize, offset: i64) -> usize:
    """preadv(2): readv at an offset."""
    if offset < 0:
        raise OSError(errno.EINVAL)
    return _vectored(_positioned(readable_file(fd)), vector, count, False, offset)


@syscall(x86_64=296, arm64=70)
def pwritev(fd: Fd, vector: UserPtr[Iovec], count: usize, offset: i64) -> usize:
    """pwritev(2): writev at an offset."""
    if offset < 0:
        raise OSError(errno.EINVAL)
    return _vectored(_positioned(writable_file(fd)), vector, count, True, offset)


@syscall(x86_64=327, arm64=286)
def preadv2(fd: Fd, vector: UserPtr[Iovec], count: usize, offset: i64, high: u64, flags: u32) -> usize:
    """preadv2(2): preadv with flags; -1 means the file's position. RWF_NOWAIT is refused."""
    _check_flags(flags)
    file = readable_file(fd)
    if offset == AT_POSITION:
        return _vectored(file, vector, count, False, i64(AT_POSITION))
    if offset < 0:
        raise OSError(errno.EINVAL)
    return _vectored(_positioned(file), vector, count, False, offset)


@syscall(x86_64=328, arm64=287)
def pwritev2(fd: Fd, vector: UserPtr[Iovec], count: usize, offset: i64, high: u64, flags: u32) -> usize:
    """pwritev2(2): pwritev with flags; RWF_APPEND writes at the end, RWF_SYNC and RWF_DSYNC wait for the medium."""
    _check_flags(flags)
    file = writable_file(fd)
    if offset < 0 and offset != AT_POSITION:
        raise OSError(errno.EINVAL)
    if offset != AT_POSITION:
        _positioned(file)
    done = _vectored(file, vector, count, True, i64(AT_END) if flags & RWF_APPEND else offset)
    if flags & (RWF_SYNC | RWF_DSYNC):
        file.fsync()
    return done


def _check_flags(flags: u32) -> None:
    if flags & (0xFFFFFFFF - RWF_SUPPORTED) != 0 or flags & RWF_NOWAIT:
        raise OSError(errno.EOPNOTSUPP)


def _positioned(file: File) -> File:
    """Raises OSError(ESPIPE) for a stream."""
    if not file.seekable():
        raise OSError(errno.ESPIPE)
    return file
