# SPDX-License-Identifier: Apache-2.0
"""Moving data between files inside the kernel: sendfile(2), copy_file_range(2), splice(2), tee(2), vmsplice(2); advice.

All go through one page of kernel memory: read into it, write from it. Two copies, as the general case has anyway.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import (
    MAX_FILE_SIZE,
    MAX_RW_COUNT,
    O_APPEND,
    O_NONBLOCK,
    O_PATH,
    SEEK_CUR,
    SEEK_SET,
    SPLICE_F_NONBLOCK,
)
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.abi.uio import Iovec
from kaa.kernel.arch import machine
from kaa.kernel.fs.calls.read_write import bounded, readable_file, readv, writable_file, writev
from kaa.kernel.fs.pipe_file import PipeFile
from kaa.kernel.mm import buddy, frame
from kaa.kernel.mm.user import UserPtr, kernel_buffer
from kaa.lang import i64, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File

PAGE = 4096
LAST = 0xFFFFFFFFFFFFFFFF


def _read_piece(source: File, pfn: u64, count: usize, offset: i64) -> usize:
    buf = kernel_buffer(frame.contents(pfn)[0:count])
    return source.read(buf) if offset < 0 else source.read_at(buf, u64(offset))


def _write_piece(target: File, pfn: u64, count: usize, offset: i64) -> usize:
    buf = kernel_buffer(frame.contents(pfn)[0:count])
    return target.write(buf) if offset < 0 else target.write_at(buf, u64(offset))


def move(source: File, from_offset: i64, target: File, to_offset: i64, count: usize) -> usize:
    """Copy up to `count` bytes, none beyond the last offset; an offset of -1 means the file's own position. What was
    read but not taken by the target is given back to a seekable source. Raises OSError only when nothing was moved."""
    pfn = u64(buddy.allocate_page())
    left = count
    if from_offset >= 0:
        left = min(left, MAX_FILE_SIZE - u64(from_offset))
    if to_offset >= 0:
        left = min(left, MAX_FILE_SIZE - u64(to_offset))
    done: usize = usize(0)
    try:
        while done < left:
            wanted = min(left - done, PAGE)
            if done > 0 and not source.seekable() and source.poll(None) & 1 == 0:
                break
            got = _read_piece(source, pfn, wanted, from_offset if from_offset < 0 else from_offset + i64(done))
            if got == 0:
                break
            put = _write_piece(target, pfn, got, to_offset if to_offset < 0 else to_offset + i64(done))
            done += put
            if put < got:
                if from_offset < 0 and source.seekable():
                    source.seek(-i64(got - put), SEEK_CUR)
                break
    except (OSError, MemoryError):
        if done == 0:
            raise
    finally:
        frame.put_page(pfn)
    return done


@syscall(x86_64=40, arm64=71)
def sendfile(out_fd: Fd, in_fd: Fd, offset: UserPtr[i64], count: usize) -> usize:
    """sendfile(2): copy from a file to another."""
    source = readable_file(in_fd)
    target = writable_file(out_fd)
    if target.flags & O_APPEND:
        raise OSError(errno.EINVAL)
    length = bounded(count)
    if not source.seekable():
        raise OSError(errno.ESPIPE if not offset.is_null() else errno.EINVAL)
    if offset.is_null():
        return move(source, i64(-1), target, i64(-1), length)
    start = offset.read()
    if start < 0:
        raise OSError(errno.EINVAL)
    done = move(source, start, target, i64(-1), length)
    offset.write(start + i64(done))
    return done


@syscall(x86_64=326, arm64=285)
def copy_file_range(
    in_fd: Fd, in_offset: UserPtr[i64], out_fd: Fd, out_offset: UserPtr[i64], count: usize, flags: u32
) -> usize:
    """copy_file_range(2): copy between regular files, also of different file systems."""
    if flags != 0:
        raise OSError(errno.EINVAL)
    source = readable_file(in_fd)
    target = writable_file(out_fd)
    _require_regular(source)
    _require_regular(target)
    if target.flags & O_APPEND:
        raise OSError(errno.EBADF)
    start = i64(source.position) if in_offset.is_null() else in_offset.read()
    to = i64(target.position) if out_offset.is_null() else out_offset.read()
    if count > LAST - u64(start) or count > LAST - u64(to):
        raise OSError(errno.EOVERFLOW)
    if start < 0 or to < 0:
        raise OSError(errno.EINVAL)
    length = min(count, MAX_RW_COUNT, rest_of(source, u64(start)), MAX_FILE_SIZE - u64(to))
    if source.inode() is target.inode() and start < to + i64(length) and to < start + i64(length):
        raise OSError(errno.EINVAL)
    done = move(source, start, target, to, length)
    if in_offset.is_null():
        source.seek(start + i64(done), SEEK_SET)
    else:
        in_offset.write(start + i64(done))
    if out_offset.is_null():
        target.seek(to + i64(done), SEEK_SET)
    else:
        out_offset.write(to + i64(done))
    return done


def rest_of(file: File, start: u64) -> u64:
    """Bytes of the file from `start` on."""
    inode = file.inode()
    size = u64(0) if inode is None else inode.size
    return size - min(size, start)


def _require_regular(file: File) -> None:
    inode = file.inode()
    if inode is None:
        raise OSError(errno.EINVAL)
    if inode.is_directory():
        raise IsADirectoryError
    if not inode.is_regular():
        raise OSError(errno.EINVAL)


@syscall(x86_64=275, arm64=76)
def splice(in_fd: Fd, in_offset: UserPtr[i64], out_fd: Fd, out_offset: UserPtr[i64], count: usize, flags: u32) -> usize:
    """splice(2): move data where at least one end is a pipe."""
    if count == 0:
        return usize(0)
    if flags & 0xFFFFFFF0:
        raise OSError(errno.EINVAL)
    source = readable_file(in_fd)
    target = writable_file(out_fd)
    from_pipe = isinstance(source, PipeFile)
    to_pipe = isinstance(target, PipeFile)
    if not from_pipe and not to_pipe:
        raise OSError(errno.EINVAL)
    if isinstance(source, PipeFile) and isinstance(target, PipeFile) and source.pipe is target.pipe:
        raise OSError(errno.EINVAL)
    start = _splice_offset(source, in_offset, from_pipe)
    to = _splice_offset(target, out_offset, to_pipe)
    if not to_pipe and target.flags & O_APPEND:
        raise OSError(errno.EINVAL)
    if flags & SPLICE_F_NONBLOCK and _would_wait(source, target):
        raise BlockingIOError
    done = move(source, start, target, to, _fitting(target, min(count, MAX_RW_COUNT)))
    if start >= 0:
        in_offset.write(start + i64(done))
    if to >= 0:
        out_offset.write(to + i64(done))
    return done


def _splice_offset(file: File, offset: UserPtr[i64], is_pipe: bool) -> i64:
    """Where that end starts; -1: at its position. Raises OSError(ESPIPE), OSError(EINVAL), OSError(EFAULT)."""
    if offset.is_null():
        return i64(-1)
    if is_pipe or not file.seekable():
        raise OSError(errno.ESPIPE)
    start = offset.read()
    if start < 0:
        raise OSError(errno.EINVAL)
    return start


def _fitting(target: File, count: usize) -> usize:
    """Into a pipe no more than there is room for (at least one page, for which it waits)."""
    if isinstance(target, PipeFile):
        return min(count, max(target.pipe.room(), PAGE))
    return count


def _would_wait(source: File, target: File) -> bool:
    return source.poll(None) & 0x11 == 0 or target.poll(None) & 0x0C == 0


@syscall(x86_64=276, arm64=77)
def tee(in_fd: Fd, out_fd: Fd, count: usize, flags: u32) -> usize:
    """tee(2): copy from pipe to pipe without consuming."""
    if flags & 0xFFFFFFF0:
        raise OSError(errno.EINVAL)
    source = readable_file(in_fd)
    target = writable_file(out_fd)
    if not isinstance(source, PipeFile) or not isinstance(target, PipeFile) or source.pipe is target.pipe:
        raise OSError(errno.EINVAL)
    if count == 0:
        return usize(0)
    waits = flags & SPLICE_F_NONBLOCK == 0 and source.flags & O_NONBLOCK == 0
    pfn = u64(buddy.allocate_page())
    try:
        got = source.pipe.peek(kernel_buffer(frame.contents(pfn)[0 : min(count, PAGE)]), waits)
        if got == 0:
            return usize(0)
        return target.pipe.write(kernel_buffer(frame.contents(pfn)[0:got]), not waits)
    finally:
        frame.put_page(pfn)


@syscall(x86_64=278, arm64=75)
def vmsplice(fd: Fd, vector: UserPtr[Iovec], count: usize, flags: u32) -> usize:
    """vmsplice(2): to or from a pipe by copying, which is what is promised without SPLICE_F_GIFT's hint."""
    if flags & 0xFFFFFFF0:
        raise OSError(errno.EINVAL)
    file = machine.percpu.current().files.get(fd)
    if not isinstance(file, PipeFile):
        raise OSError(errno.EBADF)
    if file.writable():
        return writev(fd, vector, count)
    return readv(fd, vector, count)


@syscall(x86_64=221, arm64=223)
def fadvise64(fd: Fd, offset: i64, length: i64, advice: u32) -> None:
    """posix_fadvise(2): POSIX_FADV_DONTNEED drops clean pages; the rest is noted and nothing more."""
    file = machine.percpu.current().files.get(fd)
    if file.flags & O_PATH:
        raise OSError(errno.EBADF)
    if isinstance(file, PipeFile):
        raise OSError(errno.ESPIPE)
    if length < 0 or advice > 5:
        raise OSError(errno.EINVAL)
    inode = file.inode()
    if advice != 4 or inode is None or offset < 0:
        return
    cache = inode.cache
    if cache is not None:
        end = inode.size if length == 0 else u64(offset) + u64(length)
        cache.invalidate((u64(offset) + PAGE - 1) // PAGE, end // PAGE)


@syscall(x86_64=187, arm64=213)
def readahead(fd: Fd, offset: i64, count: usize) -> None:
    """readahead(2): a hint; file systems read ahead by themselves."""
    file = machine.percpu.current().files.get(fd)
    if not file.readable():
        raise OSError(errno.EBADF)
    inode = file.inode()
    if inode is None or not inode.is_regular():
        raise OSError(errno.EINVAL)


@syscall(x86_64=285, arm64=47)
def fallocate(fd: Fd, mode: u32, offset: i64, length: i64) -> None:
    """fallocate(2): make room, or punch a hole."""
    if offset < 0 or length <= 0:
        raise OSError(errno.EINVAL)
    file = machine.percpu.current().files.get(fd)
    if mode & 2 and mode & 1 == 0:
        raise OSError(errno.EOPNOTSUPP)
    if not file.writable():
        raise OSError(errno.EBADF)
    if isinstance(file, PipeFile):
        raise OSError(errno.ESPIPE)
    inode = file.inode()
    if inode is not None and inode.is_directory():
        raise IsADirectoryError
    if offset > 0x7FFFFFFFFFFFFFFF - length:
        raise OSError(errno.EFBIG)
    file.fallocate(mode, u64(offset), u64(length))
