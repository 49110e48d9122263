# SPDX-License-Identifier: Apache-2.0
"""Calls that make and take away names: mkdir(2), mknod(2), symlink(2), link(2), unlink(2), rmdir(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW
from kaa.kernel.abi.stat import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    S_ISVTX,
)
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.arch import machine
from kaa.kernel.fs.at import start_of, walk_at
from kaa.kernel.fs.dentry import Dentry, cache
from kaa.kernel.fs.namei import DOT, DOTDOT, EMPTY, FOLLOW, NORMAL, Walk, find_or_load
from kaa.kernel.fs.open import umasked
from kaa.kernel.fs.permission import (
    CAP_DAC_READ_SEARCH,
    CAP_MKNOD,
    EXEC,
    WRITE,
    may_delete,
    require,
    require_writable,
)
from kaa.kernel.mm.user import UserString
from kaa.lang import u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode

LINK_MAX = 65000


def vacant(walk: Walk) -> Dentry:
    """The negative dentry of a walk's last component, ready to be filled. The directory's lock is held.
    Raises FileExistsError, FileNotFoundError in a removed directory; OSError(ENOENT) for a slash is the caller's."""
    directory = walk.inode()
    dentry = find_or_load(walk.dentry, walk.component(), walk.hash)
    if dentry.inode is not None:
        raise FileExistsError
    require_writable(walk.mount)
    require(directory, WRITE | EXEC, walk.who)
    return dentry


def start_making(walk: Walk) -> None:
    """Go to the directory of the name to be made. Raises FileExistsError for "/", "." and ".."."""
    walk.to_last()
    if walk.kind != NORMAL:
        raise FileExistsError


def _refuse_slash(walk: Walk) -> None:
    """Only a directory's new name may end in a slash; a missing one is ENOENT, as in path_resolution(7)."""
    if walk.trailing:
        if walk.child().inode is not None:
            raise FileExistsError
        raise FileNotFoundError


def make_directory(walk: Walk, mode: u32) -> None:
    """mkdir(2) at the end of a walk."""
    start_making(walk)
    directory = walk.inode()
    with directory.lock:
        dentry = vacant(walk)
        made = directory.mkdir(dentry.name, S_IFDIR | (umasked(mode) & (0o777 | S_ISVTX)))
        cache.instantiate(dentry, made)


def make_node(walk: Walk, mode: u32, device: u64) -> None:
    """mknod(2) at the end of a walk; `mode` has its type."""
    start_making(walk)
    _refuse_slash(walk)
    directory = walk.inode()
    with directory.lock:
        dentry = vacant(walk)
        full = (mode & S_IFMT) | umasked(mode)
        if mode & S_IFMT == S_IFREG:
            made = directory.create(dentry.name, full)
        else:
            made = directory.mknod(dentry.name, full, device)
        cache.instantiate(dentry, made)


def make_symlink(walk: Walk, target: bytes) -> None:
    """symlink(2) at the end of a walk."""
    start_making(walk)
    _refuse_slash(walk)
    directory = walk.inode()
    with directory.lock:
        dentry = vacant(walk)
        made = directory.symlink(dentry.name, target)
        cache.instantiate(dentry, made)


@syscall(x86_64=258, arm64=34)
def mkdirat(dirfd: Fd, name: UserString, mode: u32) -> None:
    """mkdirat(2): make a directory."""
    make_directory(walk_at(dirfd, name, 0), mode)


@syscall(x86_64=83)
def mkdir(name: UserString, mode: u32) -> None:
    """mkdir(2): make a directory."""
    mkdirat(AT_FDCWD, name, mode)


@syscall(x86_64=259, arm64=33)
def mknodat(dirfd: Fd, name: UserString, mode: u32, device: u32) -> None:
    """mknodat(2): make a file, FIFO, socket or (with CAP_MKNOD) device."""
    kind = mode & S_IFMT
    if kind == S_IFDIR:
        raise OSError(errno.EPERM)
    if kind != 0 and kind != S_IFREG and kind != S_IFIFO and kind != S_IFSOCK and kind != S_IFCHR and kind != S_IFBLK:
        raise OSError(errno.EINVAL)
    full = mode | S_IFREG if kind == 0 else mode
    if (kind == S_IFCHR or kind == S_IFBLK) and not machine.percpu.current().credentials.capable(CAP_MKNOD):
        raise OSError(errno.EPERM)
    make_node(walk_at(dirfd, name, 0), full, u64(device))


@syscall(x86_64=133)
def mknod(name: UserString, mode: u32, device: u32) -> None:
    """mknod(2): mknodat from the current directory."""
    mknodat(AT_FDCWD, name, mode, device)


@syscall(x86_64=266, arm64=36)
def symlinkat(target: UserString, dirfd: Fd, name: UserString) -> None:
    """symlinkat(2): make a symbolic link."""
    text = target.read_path()
    if len(text) == 0:
        raise FileNotFoundError
    make_symlink(walk_at(dirfd, name, 0), text)


@syscall(x86_64=88)
def symlink(target: UserString, name: UserString) -> None:
    """symlink(2): make a symbolic link."""
    symlinkat(target, AT_FDCWD, name)


def make_link(inode: Inode, source: Walk, walk: Walk) -> None:
    """link(2): `inode`, found by `source`, gets the name at the end of `walk`."""
    start_making(walk)
    _refuse_slash(walk)
    directory = walk.inode()
    with directory.lock:
        dentry = vacant(walk)
        if source.mount.superblock is not walk.mount.superblock or source.mount is not walk.mount:
            raise OSError(errno.EXDEV)
        if inode.is_directory():
            raise OSError(errno.EPERM)
        with inode.lock.nested():
            if inode.nlink == 0:
                raise FileNotFoundError
            if inode.nlink >= LINK_MAX:
                raise OSError(errno.EMLINK)
            directory.link(dentry.name, inode)
        cache.instantiate(dentry, inode)


@syscall(x86_64=265, arm64=37)
def linkat(from_fd: Fd, source: UserString, to_fd: Fd, target: UserString, flags: u32) -> None:
    """linkat(2): one more name for a file."""
    if flags & (0xFFFFFFFF - (AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0:
        raise OSError(errno.EINVAL)
    if flags & AT_EMPTY_PATH and not machine.percpu.current().credentials.capable(CAP_DAC_READ_SEARCH):
        raise FileNotFoundError
    bits: u32 = u32(0)
    if flags & AT_SYMLINK_FOLLOW:
        bits |= FOLLOW
    if flags & AT_EMPTY_PATH:
        bits |= EMPTY
    found = walk_at(from_fd, source, bits)
    found.to_end()
    make_link(found.inode(), found, walk_at(to_fd, target, 0))


@syscall(x86_64=86)
def link(source: UserString, target: UserString) -> None:
    """link(2): one more name for a file."""
    linkat(AT_FDCWD, source, AT_FDCWD, target, 0)


def remove_file(walk: Walk) -> None:
    """unlink(2) at the end of a walk."""
    walk.to_last()
    if walk.kind != NORMAL:
        raise IsADirectoryError
    require_writable(walk.mount)
    directory = walk.inode()
    with directory.lock:
        dentry = find_or_load(walk.dentry, walk.component(), walk.hash)
        inode = dentry.inode
        if inode is None:
            raise FileNotFoundError
        if walk.trailing:
            if inode.is_directory():
                raise IsADirectoryError
            raise NotADirectoryError
        may_delete(directory, inode, walk.who)
        if inode.is_directory():
            raise IsADirectoryError
        with inode.lock.nested():
            if dentry.mounts != 0:
                raise OSError(errno.EBUSY)
            directory.unlink(dentry.name, inode)
            cache.remove(dentry)


def remove_directory(walk: Walk) -> None:
    """rmdir(2) at the end of a walk."""
    walk.to_last()
    if walk.kind == DOT:
        raise OSError(errno.EINVAL)
    if walk.kind == DOTDOT:
        raise OSError(errno.ENOTEMPTY)
    if walk.kind != NORMAL:
        raise OSError(errno.EBUSY)
    require_writable(walk.mount)
    directory = walk.inode()
    with directory.lock:
        dentry = find_or_load(walk.dentry, walk.component(), walk.hash)
        inode = dentry.inode
        if inode is None:
            raise FileNotFoundError
        may_delete(directory, inode, walk.who)
        if not inode.is_directory():
            raise NotADirectoryError
        if inode is directory:
            # A server that shows a directory inside itself.
            raise OSError(errno.EBUSY)
        with inode.lock.nested():
            if dentry.mounts != 0:
                raise OSError(errno.EBUSY)
            directory.rmdir(dentry.name, inode)
            inode.removed = True
            cache.remove(dentry)
    cache.prune(dentry)


@syscall(x86_64=263, arm64=35)
def unlinkat(dirfd: Fd, name: UserString, flags: u32) -> None:
    """unlinkat(2): take away a name; with AT_REMOVEDIR, an empty directory's."""
    if flags & (0xFFFFFFFF - AT_REMOVEDIR) != 0:
        raise OSError(errno.EINVAL)
    text = name.read_path()
    walk = Walk(start_of(dirfd, text), text, 0)
    if flags & AT_REMOVEDIR:
        remove_directory(walk)
    else:
        remove_file(walk)


@syscall(x86_64=87)
def unlink(name: UserString) -> None:
    """unlink(2): take away a name."""
    unlinkat(AT_FDCWD, name, 0)


@syscall(x86_64=84)
def rmdir(name: UserString) -> None:
    """rmdir(2): take away an empty directory."""
    unlinkat(AT_FDCWD, name, AT_REMOVEDIR)
