# SPDX-License-Identifier: Apache-2.0
"""fcntl(2)'s F_GETLK, F_SETLK, F_SETLKW and their OFD forms, and flock(2): arguments and owners; the locks are
locks.py's.

An open file's locks are owned by a number it gets with its first lock; they go with the last close (`File.__del__` of
kinds that can be locked calls `forget_file`).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import (
    F_RDLCK,
    F_UNLCK,
    F_WRLCK,
    LOCK_EX,
    LOCK_NB,
    LOCK_SH,
    LOCK_UN,
    MAX_FILE_SIZE,
    SEEK_CUR,
    SEEK_END,
    SEEK_SET,
    Flock,
)
from kaa.kernel.arch import machine
from kaa.kernel.fs import locks
from kaa.kernel.fs.locks import FLOCK, OPEN_FILE, POSIX, Lock
from kaa.kernel.mm.user import UserPtr
from kaa.lang import Atomic, i16, i32, i64, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.inode import Inode


class OwnerNumbers:
    """Numbers for open files that own locks."""

    last: Atomic[u64]

    def __init__(self) -> None:
        self.last = Atomic(1)


owner_numbers = OwnerNumbers()


def owner_of(file: File) -> u64:
    """The file's number as an owner of locks."""
    if file.lock_owner.load() == 0:
        file.lock_owner.compare_exchange(0, owner_numbers.last.fetch_add(1))
    return file.lock_owner.load()


def inode_of(file: File) -> Inode:
    """What is locked. Raises OSError(EBADF)."""
    inode = file.inode()
    if inode is None:
        raise OSError(errno.EBADF)
    return inode


def parse(file: File, request: Flock, of_file: bool) -> Lock:
    """The lock that a struct flock describes. Raises OSError(EINVAL), OSError(EOVERFLOW)."""
    base: i64 = i64(0)
    if request.l_whence == SEEK_CUR:
        base = i64(file.position)
    elif request.l_whence == SEEK_END:
        base = i64(inode_of(file).size)
    elif request.l_whence != SEEK_SET:
        raise OSError(errno.EINVAL)
    if request.l_start > MAX_FILE_SIZE - base:
        raise OSError(errno.EOVERFLOW)
    start = base + request.l_start
    if start < 0:
        raise OSError(errno.EINVAL)
    end: i64 = i64(MAX_FILE_SIZE)
    if request.l_len > 0:
        if request.l_len - 1 > MAX_FILE_SIZE - start:
            raise OSError(errno.EOVERFLOW)
        end = start + (request.l_len - 1)
    elif request.l_len < 0:
        end = start - 1
        start = start + max(request.l_len, -MAX_FILE_SIZE)
    if start < 0 or end < start:
        raise OSError(errno.EINVAL)
    task = machine.percpu.current()
    exclusive = request.l_type == F_WRLCK
    if of_file:
        return Lock(OPEN_FILE, owner_of(file), -1, exclusive, u64(start), u64(end))
    return Lock(POSIX, u64(task.tgid), task.tgid, exclusive, u64(start), u64(end))


def _check_type(kind: i32) -> None:
    if kind != F_RDLCK and kind != F_WRLCK and kind != F_UNLCK:
        raise OSError(errno.EINVAL)


def get_lock(file: File, argument: u64, of_file: bool) -> None:
    """F_GETLK: the first lock that stands in the way, or F_UNLCK."""
    place = UserPtr[Flock](argument)
    request = place.read()
    if request.l_type != F_RDLCK and request.l_type != F_WRLCK:
        raise OSError(errno.EINVAL)
    if of_file and request.l_pid != 0:
        raise OSError(errno.EINVAL)
    wanted = parse(file, request, of_file)
    found = locks.locks_of(inode_of(file))
    with found.lock:
        blocker = found.blocker(wanted)
        if blocker is None:
            request.l_type = i16(F_UNLCK)
        else:
            request.l_type = i16(locks.type_number(blocker))
            request.l_whence = i16(SEEK_SET)
            request.l_start = i64(blocker.start)
            request.l_len = i64(0) if blocker.end == u64(MAX_FILE_SIZE) else i64(blocker.end - blocker.start + 1)
            request.l_pid = blocker.pid
    place.write(request)


def set_lock(file: File, argument: u64, of_file: bool, waits: bool) -> None:
    """F_SETLK, F_SETLKW: take or release a range. Raises BlockingIOError (EAGAIN) when held by another."""
    request = UserPtr[Flock](argument).read()
    _check_type(i32(request.l_type))
    if of_file and request.l_pid != 0:
        raise OSError(errno.EINVAL)
    wanted = parse(file, request, of_file)
    if request.l_type == F_UNLCK:
        locks.release(inode_of(file), wanted.kind, wanted.owner, wanted.start, wanted.end)
        return
    if request.l_type == F_RDLCK and not file.readable() or request.l_type == F_WRLCK and not file.writable():
        raise OSError(errno.EBADF)
    locks.acquire(inode_of(file), wanted, waits)


def flock_file(file: File, operation: u32) -> None:
    """flock(2). A conversion gives up the old lock before it waits for the new one."""
    action = operation & (0xFFFFFFFF - LOCK_NB)
    if action != LOCK_SH and action != LOCK_EX and action != LOCK_UN:
        raise OSError(errno.EINVAL)
    inode = inode_of(file)
    owner = owner_of(file)
    if action == LOCK_UN:
        locks.release(inode, FLOCK, owner, u64(0), u64(MAX_FILE_SIZE))
        return
    wanted = Lock(FLOCK, owner, machine.percpu.current().tgid, action == LOCK_EX, u64(0), u64(MAX_FILE_SIZE))
    locks.acquire(inode, wanted, operation & LOCK_NB == 0)


def forget_file(file: File) -> None:
    """The last close: the open file's own locks go."""
    inode = file.inode()
    if inode is not None:
        owner = file.lock_owner.load()
        locks.release(inode, FLOCK, owner, u64(0), u64(MAX_FILE_SIZE))
        locks.release(inode, OPEN_FILE, owner, u64(0), u64(MAX_FILE_SIZE))
