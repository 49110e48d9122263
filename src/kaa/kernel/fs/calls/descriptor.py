# SPDX-License-Identifier: Apache-2.0
"""dup(2), dup2(2), dup3(2), fcntl(2), flock(2), ioctl(2), getdents(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import (
    F_ADD_SEALS,
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_GET_SEALS,
    F_GETFD,
    F_GETFL,
    F_GETLEASE,
    F_GETLK,
    F_GETOWN,
    F_GETOWN_EX,
    F_GETPIPE_SZ,
    F_GETSIG,
    F_OFD_GETLK,
    F_OFD_SETLK,
    F_OFD_SETLKW,
    F_OWNER_PGRP,
    F_OWNER_PID,
    F_SETFD,
    F_SETFL,
    F_SETLK,
    F_SETLKW,
    F_SETOWN,
    F_SETOWN_EX,
    F_SETPIPE_SZ,
    F_SETSIG,
    F_UNLCK,
    FD_CLOEXEC,
    O_APPEND,
    O_ASYNC,
    O_CLOEXEC,
    O_DIRECT,
    O_NOATIME,
    O_NONBLOCK,
    O_PATH,
    OwnerEx,
)
from kaa.kernel.abi.ioctl import FIGETBSZ, FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD, FIOQSIZE
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.arch import machine
from kaa.kernel.fs import lock_calls
from kaa.kernel.fs.dirent import GetdentsSink
from kaa.kernel.fs.file import SeekableFile
from kaa.kernel.fs.pipe_file import PipeFile
from kaa.kernel.fs.tmpfs.inode import TmpfsRegular
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.lang import i32, i64, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.inode import Inode

SETTABLE = O_APPEND | O_ASYNC | O_NONBLOCK | O_NOATIME
CAP_SYS_RESOURCE = 24
INT_MAX = 0x7FFFFFFF
INT_MIN = -0x80000000


@syscall(x86_64=32, arm64=23)
def dup(fd: Fd) -> i32:
    """dup(2): the lowest free descriptor for the same open file."""
    files = machine.percpu.current().files
    return files.install(files.get(fd), False)


@syscall(x86_64=33)
def dup2(old: Fd, new: Fd) -> i32:
    """dup2(2): a chosen descriptor for the same open file."""
    files = machine.percpu.current().files
    file = files.get(old)
    if old != new:
        files.replace(new, file, False)
    return new


@syscall(x86_64=292, arm64=24)
def dup3(old: Fd, new: Fd, flags: u32) -> i32:
    """dup3(2): dup2 with O_CLOEXEC; equal descriptors are an error."""
    if flags & (0xFFFFFFFF - O_CLOEXEC) != 0 or old == new:
        raise OSError(errno.EINVAL)
    files = machine.percpu.current().files
    files.replace(new, files.get(old), flags & O_CLOEXEC != 0)
    return new


@syscall(x86_64=72, arm64=25)
def fcntl(fd: Fd, command: u32, argument: u64) -> i64:
    """fcntl(2): operations on a descriptor; leases and F_NOTIFY are refused."""
    files = machine.percpu.current().files
    file = files.get(fd)
    if command == F_DUPFD or command == F_DUPFD_CLOEXEC:
        if argument > INT_MAX:
            raise OSError(errno.EINVAL)
        return i64(files.install_from(file, u32(argument), command == F_DUPFD_CLOEXEC))
    if command == F_GETFD:
        return i64(FD_CLOEXEC) if files.closes_on_exec(fd) else i64(0)
    if command == F_SETFD:
        files.set_close_on_exec(fd, argument & FD_CLOEXEC != 0)
        return i64(0)
    if command == F_GETFL:
        return i64(file.flags)
    if file.flags & O_PATH:
        raise OSError(errno.EBADF)
    return _on_file(file, command, argument)


def _on_file(file: File, command: u32, argument: u64) -> i64:
    """The commands that act on the open file."""
    if command == F_SETFL:
        if argument & O_DIRECT:
            raise OSError(errno.EINVAL)
        file.change_flags(SETTABLE, u32(argument) & SETTABLE)
        return i64(0)
    if command == F_GETLK or command == F_OFD_GETLK:
        lock_calls.get_lock(file, argument, command == F_OFD_GETLK)
        return i64(0)
    if command == F_SETLK or command == F_SETLKW:
        lock_calls.set_lock(file, argument, False, command == F_SETLKW)
        return i64(0)
    if command == F_OFD_SETLK or command == F_OFD_SETLKW:
        lock_calls.set_lock(file, argument, True, command == F_OFD_SETLKW)
        return i64(0)
    if command == F_SETPIPE_SZ or command == F_GETPIPE_SZ:
        return _pipe_size(file, command, argument)
    if command == F_ADD_SEALS or command == F_GET_SEALS:
        return _seals(file, command, argument)
    return _owner(file, command, argument)


def _owner(file: File, command: u32, argument: u64) -> i64:
    """Who gets SIGIO: kept and told, and only that: nothing here sends it."""
    if command == F_GETOWN:
        return i64(file.owner)
    if command == F_SETOWN:
        if i32(argument) == INT_MIN:
            raise OSError(errno.EINVAL)
        file.owner = i32(argument)
    elif command == F_SETSIG:
        if argument > 64:
            raise OSError(errno.EINVAL)
        file.owner_signal = i32(argument)
    elif command == F_GETSIG:
        return i64(file.owner_signal)
    elif command == F_SETOWN_EX:
        owner = UserPtr[OwnerEx](argument).read()
        if owner.type < 0 or owner.type > F_OWNER_PGRP:
            raise OSError(errno.EINVAL)
        if owner.pid < 0:
            raise ProcessLookupError
        file.owner = -owner.pid if owner.type == F_OWNER_PGRP else owner.pid
    elif command == F_GETOWN_EX:
        number = file.owner
        kind = i32(F_OWNER_PGRP) if number < 0 else i32(F_OWNER_PID)
        UserPtr[OwnerEx](argument).write(OwnerEx(kind, abs(number)))
    elif command == F_GETLEASE:
        return i64(F_UNLCK)
    else:
        raise OSError(errno.EINVAL)
    return i64(0)


def _pipe_size(file: File, command: u32, argument: u64) -> i64:
    """F_SETPIPE_SZ, F_GETPIPE_SZ."""
    if not isinstance(file, PipeFile):
        raise OSError(errno.EBADF)
    if command == F_GETPIPE_SZ:
        return i64(file.pipe.capacity)
    privileged = machine.percpu.current().credentials.capable(CAP_SYS_RESOURCE)
    return i64(file.pipe.resize(argument & 0xFFFFFFFF, privileged))


def _seals(file: File, command: u32, argument: u64) -> i64:
    """F_ADD_SEALS, F_GET_SEALS: of memfds (and other nameless tmpfs files)."""
    inode = file.inode()
    if not isinstance(inode, TmpfsRegular):
        raise OSError(errno.EINVAL)
    if command == F_GET_SEALS:
        with inode.lock:
            return i64(inode.seals)
    if not file.writable():
        raise OSError(errno.EPERM)
    if argument & 0xFFFFFFE0:
        raise OSError(errno.EINVAL)
    with inode.lock:
        if inode.seals & 1:
            raise OSError(errno.EPERM)
        inode.seals |= u32(argument)
    return i64(0)


def _left(file: SeekableFile, inode: Inode) -> u64:
    """Bytes from the file's position to the end."""
    with file.position_lock:
        size = inode.size
        return size - min(size, file.position)


@syscall(x86_64=16, arm64=29)
def ioctl(fd: Fd, command: u32, argument: u64) -> i64:
    """ioctl(2): what every file knows (FIOCLEX, FIONBIO, FIONREAD…) and then what the file itself does."""
    files = machine.percpu.current().files
    file = files.get(fd)
    if file.flags & O_PATH:
        raise OSError(errno.EBADF)
    if command == FIOCLEX or command == FIONCLEX:
        files.set_close_on_exec(fd, command == FIOCLEX)
        return i64(0)
    if command == FIONBIO or command == FIOASYNC:
        bit = u32(O_NONBLOCK) if command == FIONBIO else u32(O_ASYNC)
        on = UserPtr[i32](argument).read() != 0
        file.change_flags(bit, bit if on else u32(0))
        return i64(0)
    inode = file.inode()
    if inode is not None and (inode.is_regular() or inode.is_directory()):
        if command == FIGETBSZ:
            UserPtr[i32](argument).write(i32(inode.superblock.block_size))
            return i64(0)
        if command == FIOQSIZE:
            UserPtr[i64](argument).write(i64(inode.size))
            return i64(0)
        if command == FIONREAD and isinstance(file, SeekableFile) and inode.is_regular():
            UserPtr[i32](argument).write(i32(min(_left(file, inode), INT_MAX)))
            return i64(0)
    return file.ioctl(command, argument)


def _getdents(fd: Fd, buf: UserBuf, count: usize, old_layout: bool) -> usize:
    file = machine.percpu.current().files.get(fd)
    if not file.readable():
        raise OSError(errno.EBADF)
    inode = file.inode()
    if inode is None or not inode.is_directory():
        raise NotADirectoryError
    if inode.nlink == 0:
        raise FileNotFoundError
    sink = GetdentsSink(buf.first(min(count, INT_MAX)), old_layout)
    file.readdir(sink)
    return sink.result()


@syscall(x86_64=217, arm64=61)
def getdents64(fd: Fd, buf: UserBuf, count: u32) -> usize:
    """getdents64(2): directory entries."""
    return _getdents(fd, buf, usize(count), False)


@syscall(x86_64=78)
def getdents(fd: Fd, buf: UserBuf, count: u32) -> usize:
    """getdents(2): directory entries in the old layout."""
    return _getdents(fd, buf, usize(count), True)


@syscall(x86_64=73, arm64=32)
def flock(fd: Fd, operation: u32) -> None:
    """flock(2): a lock on the whole file, of the open file."""
    lock_calls.flock_file(machine.percpu.current().files.get(fd), operation)
