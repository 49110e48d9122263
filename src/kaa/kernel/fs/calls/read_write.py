# SPDX-License-Identifier: Apache-2.0
"""read(2), write(2), their positioned and vectored forms, lseek(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import IOV_MAX, MAX_FILE_SIZE, MAX_RW_COUNT, O_APPEND
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.abi.uio import RWF_APPEND, RWF_DSYNC, RWF_NOWAIT, RWF_SUPPORTED, RWF_SYNC, Iovec
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.lang import i64, inline, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File


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
    return file.read_at(buf.first(bounded(count)), u64(offset))


@syscall(x86_64=18, arm64=68)
def pwrite64(fd: Fd, buf: UserBuf, count: usize, offset: i64) -> usize:
    """pwrite(2): write at `offset`; the position stays."""
    if offset < 0:
        raise OSError(errno.EINVAL)
    file = writable_file(fd)
    return file.write_at(buf.first(bounded(count)), u64(offset))


@syscall(x86_64=8, arm64=62)
def lseek(fd: Fd, offset: i64, whence: u32) -> u64:
    """lseek(2): move the file's position."""
    return machine.percpu.current().files.get(fd).seek(offset, whence)


def _check_vector(vector: UserPtr[Iovec], count: usize) -> None:
    """As readv(2): at most IOV_MAX pieces, none negative, the sum within ssize_t."""
    if count > IOV_MAX:
        raise OSError(errno.EINVAL)
    total: u64 = u64(0)
    for index in range(count):
        length = vector.offset(index).read().iov_len
        if length > MAX_FILE_SIZE or total + length > MAX_FILE_SIZE:
            raise OSError(errno.EINVAL)
        total += length


def _move(file: File, piece: UserBuf, writing: bool, offset: i64) -> usize:
    """One piece: at the position when offset is -1."""
    if offset < 0:
        return file.write(piece) if writing else file.read(piece)
    return file.write_at(piece, u64(offset)) if writing else file.read_at(piece, u64(offset))


def _vectored(file: File, vector: UserPtr[Iovec], count: usize, writing: bool, offset: i64) -> usize:
    """Piece after piece until one comes short. An error after some bytes gives the bytes."""
    _check_vector(vector, count)
    done: usize = usize(0)
    for index in range(count):
        piece = vector.offset(index).read()
        length = min(piece.iov_len, MAX_RW_COUNT - done)
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
    return _vectored(readable_file(fd), vector, count, False, i64(-1))


@syscall(x86_64=20, arm64=66)
def writev(fd: Fd, vector: UserPtr[Iovec], count: usize) -> usize:
    """writev(2): write from several buffers."""
    return _vectored(writable_file(fd), vector, count, True, i64(-1))


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
    if offset == -1:
        return _vectored(file, vector, count, False, i64(-1))
    if offset < 0:
        raise OSError(errno.EINVAL)
    return _vectored(_positioned(file), vector, count, False, offset)


@syscall(x86_64=328, arm64=287)
def pwritev2(fd: Fd, vector: UserPtr[Iovec], count: usize, offset: i64, high: u64, flags: u32) -> usize:
    """pwritev2(2): pwritev with flags; RWF_APPEND writes at the end, RWF_SYNC and RWF_DSYNC wait for the medium."""
    _check_flags(flags)
    file = writable_file(fd)
    if offset != -1 and offset < 0:
        raise OSError(errno.EINVAL)
    was = file.flags
    if flags & RWF_APPEND:
        file.flags = was | O_APPEND
    try:
        done = _vectored(file if offset == -1 else _positioned(file), vector, count, True, offset)
    finally:
        file.flags = was
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
