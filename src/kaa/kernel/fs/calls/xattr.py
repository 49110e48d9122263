# SPDX-License-Identifier: Apache-2.0
"""Extended attributes: getxattr(2), setxattr(2), listxattr(2), removexattr(2), each by path, by link and by
descriptor."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import AT_FDCWD
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.arch import machine
from kaa.kernel.fs.at import path_at
from kaa.kernel.fs.namei import FOLLOW
from kaa.kernel.fs.permission import (
    CAP_SYS_ADMIN,
    READ,
    WRITE,
    owner_or_capable,
    require,
    require_writable,
)
from kaa.kernel.fs.text import TextBuffer
from kaa.kernel.mm.user import UserBuf, UserString
from kaa.lang import Array, u8, u32, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.mount import Mount

NAME_MAX = 255
VALUE_MAX = 65536
KEPT_VALUE = 4096


class ValueBuffer:
    """Room for a value on its way in."""

    data: Array[u8, KEPT_VALUE]

    def __init__(self) -> None:
        self.data = Array[u8, KEPT_VALUE]()


def read_name(name: UserString) -> bytes:
    """An attribute's name. Raises OSError(ERANGE) when empty or too long."""
    text = name.read_path()
    if len(text) == 0 or len(text) > NAME_MAX:
        raise OSError(errno.ERANGE)
    return text


def _permit(inode: Inode, name: bytes, mask: u32) -> None:
    """xattr(7): user.* follows the file's permissions, on files and directories only; trusted.* is CAP_SYS_ADMIN's."""
    who = machine.percpu.current().credentials
    if name.startswith(b"trusted.") and not who.capable(CAP_SYS_ADMIN):
        raise OSError(errno.ENODATA if mask == READ else errno.EPERM)
    if name.startswith(b"user."):
        if not (inode.is_regular() or inode.is_directory()):
            raise OSError(errno.ENODATA if mask == READ else errno.EPERM)
        require(inode, mask, who)
    elif mask == WRITE and not owner_or_capable(inode, who):
        raise OSError(errno.EPERM)


def _get(inode: Inode, name: UserString, value: UserBuf, size: usize) -> usize:
    text = read_name(name)
    _permit(inode, text, READ)
    with inode.lock:
        found = inode.xattr_get(text)
    if size == 0:
        return len(found)
    if len(found) > size:
        raise OSError(errno.ERANGE)
    value.first(len(found)).copy_out(found)
    return len(found)


def _set(inode: Inode, mount: Mount | None, name: UserString, value: UserBuf, size: usize, flags: u32) -> None:
    if flags & 0xFFFFFFFC != 0:
        raise OSError(errno.EINVAL)
    text = read_name(name)
    if size > VALUE_MAX:
        raise OSError(errno.E2BIG)
    if size > KEPT_VALUE:
        raise OSError(errno.ENOSPC)
    room = ValueBuffer()
    value.first(size).copy_in(room.data[0:size])
    if mount is not None:
        require_writable(mount)
    _permit(inode, text, WRITE)
    with inode.lock:
        inode.xattr_set(text, bytes(room.data[0:size]), flags)


def _list(inode: Inode, into: UserBuf, size: usize) -> usize:
    text = TextBuffer()
    with inode.lock:
        for index in range(inode.xattr_count()):
            text.add(inode.xattr_name(u32(index)))
            text.byte(0)
    if size == 0:
        return text.length
    if text.length > size:
        raise OSError(errno.ERANGE)
    return text.copy_out(into.first(size), 0)


def _remove(inode: Inode, mount: Mount | None, name: UserString) -> None:
    text = read_name(name)
    if mount is not None:
        require_writable(mount)
    _permit(inode, text, WRITE)
    with inode.lock:
        inode.xattr_remove(text)


def _inode(fd: Fd) -> Inode:
    inode = machine.percpu.current().files.get(fd).inode()
    if inode is None:
        raise OSError(errno.EBADF)
    return inode


def _mount(fd: Fd) -> Mount | None:
    path = machine.percpu.current().files.get(fd).path
    return None if path is None else path.mount


@syscall(x86_64=191, arm64=8)
def getxattr(path: UserString, name: UserString, value: UserBuf, size: usize) -> usize:
    """getxattr(2): an attribute's value."""
    return _get(path_at(AT_FDCWD, path, FOLLOW).inode(), name, value, size)


@syscall(x86_64=192, arm64=9)
def lgetxattr(path: UserString, name: UserString, value: UserBuf, size: usize) -> usize:
    """lgetxattr(2): of a symbolic link itself."""
    return _get(path_at(AT_FDCWD, path, 0).inode(), name, value, size)


@syscall(x86_64=193, arm64=10)
def fgetxattr(fd: Fd, name: UserString, value: UserBuf, size: usize) -> usize:
    """fgetxattr(2): of an open file."""
    return _get(_inode(fd), name, value, size)


@syscall(x86_64=188, arm64=5)
def setxattr(path: UserString, name: UserString, value: UserBuf, size: usize, flags: u32) -> None:
    """setxattr(2): set an attribute, up to 4096 bytes."""
    place = path_at(AT_FDCWD, path, FOLLOW)
    _set(place.inode(), place.mount, name, value, size, flags)


@syscall(x86_64=189, arm64=6)
def lsetxattr(path: UserString, name: UserString, value: UserBuf, size: usize, flags: u32) -> None:
    """lsetxattr(2): of a symbolic link itself."""
    place = path_at(AT_FDCWD, path, 0)
    _set(place.inode(), place.mount, name, value, size, flags)


@syscall(x86_64=190, arm64=7)
def fsetxattr(fd: Fd, name: UserString, value: UserBuf, size: usize, flags: u32) -> None:
    """fsetxattr(2): of an open file."""
    _set(_inode(fd), _mount(fd), name, value, size, flags)


@syscall(x86_64=194, arm64=11)
def listxattr(path: UserString, into: UserBuf, size: usize) -> usize:
    """listxattr(2): the names of all attributes."""
    return _list(path_at(AT_FDCWD, path, FOLLOW).inode(), into, size)


@syscall(x86_64=195, arm64=12)
def llistxattr(path: UserString, into: UserBuf, size: usize) -> usize:
    """llistxattr(2): of a symbolic link itself."""
    return _list(path_at(AT_FDCWD, path, 0).inode(), into, size)


@syscall(x86_64=196, arm64=13)
def flistxattr(fd: Fd, into: UserBuf, size: usize) -> usize:
    """flistxattr(2): of an open file."""
    return _list(_inode(fd), into, size)


@syscall(x86_64=197, arm64=14)
def removexattr(path: UserString, name: UserString) -> None:
    """removexattr(2): take an attribute away."""
    place = path_at(AT_FDCWD, path, FOLLOW)
    _remove(place.inode(), place.mount, name)


@syscall(x86_64=198, arm64=15)
def lremovexattr(path: UserString, name: UserString) -> None:
    """lremovexattr(2): of a symbolic link itself."""
    place = path_at(AT_FDCWD, path, 0)
    _remove(place.inode(), place.mount, name)


@syscall(x86_64=199, arm64=16)
def fremovexattr(fd: Fd, name: UserString) -> None:
    """fremovexattr(2): of an open file."""
    _remove(_inode(fd), _mount(fd), name)
