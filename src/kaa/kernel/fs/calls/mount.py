# SPDX-License-Identifier: Apache-2.0
"""mount(2), umount2(2), pivot_root(2), and the sync(2) family."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import AT_FDCWD, O_PATH
from kaa.kernel.abi.mount import (
    MNT_DETACH,
    MNT_EXPIRE,
    MNT_FORCE,
    MS_BIND,
    MS_MGC_MSK,
    MS_MGC_VAL,
    MS_MOVE,
    MS_REMOUNT,
    PROPAGATION,
    UMOUNT_NOFOLLOW,
)
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.arch import machine
from kaa.kernel.fs import mounting
from kaa.kernel.fs.at import path_at, start_of
from kaa.kernel.fs.mount import table
from kaa.kernel.fs.namei import FOLLOW, Walk, lookup
from kaa.kernel.fs.permission import CAP_SYS_ADMIN
from kaa.kernel.mm.user import UserString
from kaa.lang import i64, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.mount import Mount


def _require_admin() -> None:
    if not machine.percpu.current().credentials.capable(CAP_SYS_ADMIN):
        raise OSError(errno.EPERM)


def _text(argument: UserString) -> bytes:
    """A string argument that may be null."""
    if argument.is_null():
        return b""
    return argument.read_path()


@syscall(x86_64=165, arm64=40)
def mount(source: UserString, target: UserString, kind: UserString, flags: u64, data: UserString) -> None:
    """mount(2): attach a file system, bind, move or remount; propagation changes are accepted, there being one
    namespace."""
    bits = flags & ~u64(MS_MGC_MSK) if flags & MS_MGC_MSK == MS_MGC_VAL else flags
    at = path_at(AT_FDCWD, target, FOLLOW)
    _require_admin()
    origin = _text(source)
    if bits & MS_REMOUNT:
        if bits & MS_BIND:
            mounting.remount_bind(at, bits)
        else:
            mounting.remount(at, bits, _text(data))
    elif bits & MS_BIND:
        mounting.bind(lookup(start_of(AT_FDCWD, origin), origin, FOLLOW), at, bits)
    elif bits & PROPAGATION:
        return
    elif bits & MS_MOVE:
        mounting.move(lookup(start_of(AT_FDCWD, origin), origin, FOLLOW), at)
    else:
        if kind.is_null():
            raise OSError(errno.EINVAL)
        mounting.mount_new(kind.read_path(), origin if len(origin) > 0 else b"none", at, bits, _text(data))


@syscall(x86_64=166, arm64=39)
def umount2(target: UserString, flags: u32) -> None:
    """umount2(2): take a mount away; MNT_DETACH: from the tree now, from use when nobody has it. MNT_EXPIRE is
    refused."""
    if flags & (0xFFFFFFFF - (MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)) != 0 or flags & MNT_EXPIRE:
        raise OSError(errno.EINVAL)
    found = _mounted_at(target.read_path(), 0 if flags & UMOUNT_NOFOLLOW else FOLLOW)
    with table.change:
        table.unmount(found, flags & MNT_DETACH != 0)


def _mounted_at(target: bytes, flags: u32) -> Mount:
    """What is mounted at a place, for an administrator. The walk there, a user of the mount, is over. Raises
    OSError(EINVAL): nothing is; OSError(EPERM)."""
    walk = Walk(start_of(AT_FDCWD, target), target, flags)
    walk.to_end()
    _require_admin()
    if walk.dentry is not walk.mount.root:
        raise OSError(errno.EINVAL)
    return walk.mount


@syscall(x86_64=155, arm64=41)
def pivot_root(new_root: UserString, put_old: UserString) -> None:
    """pivot_root(2): refused as Linux refuses it while the root is the initial one (EINVAL): move it with MS_MOVE and
    chroot."""
    path_at(AT_FDCWD, new_root, FOLLOW)
    path_at(AT_FDCWD, put_old, FOLLOW)
    _require_admin()
    raise OSError(errno.EINVAL)


@syscall(x86_64=162, arm64=81)
def sync() -> None:
    """sync(2): write everything back; errors are for fsync to tell."""
    with table.change:
        for mounted in table.mounts:
            try:
                mounted.superblock.sync()
            except OSError:
                continue


@syscall(x86_64=306, arm64=267)
def syncfs(fd: Fd) -> None:
    """syncfs(2): write back the file system of an open file."""
    file = machine.percpu.current().files.get(fd)
    inode = file.inode()
    if inode is None or file.flags & O_PATH:
        raise OSError(errno.EBADF)
    inode.superblock.sync()


@syscall(x86_64=74, arm64=82)
def fsync(fd: Fd) -> None:
    """fsync(2): write a file back."""
    file = machine.percpu.current().files.get(fd)
    if file.flags & O_PATH:
        raise OSError(errno.EBADF)
    file.fsync()


@syscall(x86_64=75, arm64=83)
def fdatasync(fd: Fd) -> None:
    """fdatasync(2): write a file's data back."""
    fsync(fd)


@syscall(x86_64=277, arm64=84)
def sync_file_range(fd: Fd, offset: i64, count: i64, flags: u32) -> None:
    """sync_file_range(2): done as a whole fsync."""
    if offset < 0 or count < 0 or flags & 0xFFFFFFF8:
        raise OSError(errno.EINVAL)
    if flags != 0:
        fsync(fd)
