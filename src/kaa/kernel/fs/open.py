# SPDX-License-Identifier: Apache-2.0
"""open(2) without the system call: from a start, a name and flags to a `File`; creation, truncation and permissions in
order."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import (
    O_ACCMODE,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOATIME,
    O_NOFOLLOW,
    O_PATH,
    O_RDONLY,
    O_TMPFILE_BIT,
    O_TRUNC,
    O_WRONLY,
)
from kaa.kernel.abi.stat import PERMISSIONS, S_IFIFO, S_IFMT, S_IFREG, S_ISVTX
from kaa.kernel.arch import machine
from kaa.kernel.fs.dentry import Dentry, cache
from kaa.kernel.fs.file import File, PathFile
from kaa.kernel.fs.namei import DIRECTORY, FOLLOW, NORMAL, Walk, find_or_load
from kaa.kernel.fs.permission import (
    EXEC,
    READ,
    WRITE,
    owner_or_capable,
    read_only_for,
    require,
    require_writable,
    without_privilege_bits,
)
from kaa.lang import u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.path import Path


def open_at(start: Path, name: bytes, flags: u32, mode: u32, restrictions: u32) -> File:
    """Open, creating if asked. `restrictions`: namei.py's RESTRICTED flags (openat2)."""
    walk_bits = restrictions
    if flags & O_NOFOLLOW == 0:
        walk_bits |= FOLLOW
    if flags & O_DIRECTORY:
        walk_bits |= DIRECTORY
    if flags & O_CREAT and flags & (O_PATH | O_TMPFILE_BIT) == 0:
        return _open_creating(start, name, flags, mode, walk_bits & (0xFFFFFFFF - FOLLOW - DIRECTORY))
    walk = Walk(start, name, walk_bits)
    walk.to_end()
    if flags & O_PATH:
        return PathFile(walk.path(), flags)
    if flags & O_TMPFILE_BIT:
        return _open_temporary(walk, flags, mode)
    return open_found(walk, walk.inode(), flags)


def _open_creating(start: Path, name: bytes, flags: u32, mode: u32, walk_bits: u32) -> File:
    """O_CREAT: the last component may be missing. A dangling symbolic link is followed and its target created."""
    walk = Walk(start, name, walk_bits)
    while True:
        walk.to_last()
        if walk.kind != NORMAL:
            if flags & O_EXCL:
                raise FileExistsError
            raise IsADirectoryError
        if walk.trailing:
            raise IsADirectoryError
        child = walk.child()
        inode = child.inode
        if inode is None:
            return _create(walk, child, flags, mode)
        if flags & O_EXCL:
            raise FileExistsError
        if not inode.is_symlink():
            return _open_existing(walk, child, flags)
        if flags & O_NOFOLLOW:
            raise OSError(errno.ELOOP)
        walk.follow(inode)
        if walk.at == len(walk.name):
            return open_found(walk, walk.inode(), flags)


def _open_existing(walk: Walk, child: Dentry, flags: u32) -> File:
    walk.enter(child)
    inode = walk.inode()
    if inode.is_directory():
        raise IsADirectoryError
    if flags & O_DIRECTORY:
        raise NotADirectoryError
    _refuse_planted(walk, inode)
    return open_found(walk, inode, flags)


def _refuse_planted(walk: Walk, inode: Inode) -> None:
    """As sysctl fs.protected_regular and protected_fifos at 1: in a sticky directory that others may write, O_CREAT
    does not open another user's file (proc(5))."""
    parent = cache.parent_of(walk.dentry)
    kind = inode.mode & S_IFMT
    if parent is None or (kind != S_IFREG and kind != S_IFIFO):
        return
    above = parent.inode
    if above is None or above.mode & S_ISVTX == 0 or above.mode & 0o002 == 0:
        return
    if inode.uid != above.uid and inode.uid != walk.who.fsuid:
        raise OSError(errno.EACCES)


def _create(walk: Walk, child: Dentry, flags: u32, mode: u32) -> File:
    """Make the file that the walk's last component names, and open it whatever its mode says."""
    mount = walk.mount
    require_writable(mount)
    parent = walk.dentry
    directory = walk.inode()
    with directory.lock:
        dentry = child
        if dentry.inode is not None or not dentry.hashed or directory.removed:
            dentry = find_or_load(parent, walk.component(), walk.hash)
        if dentry.inode is None:
            require(directory, WRITE | EXEC, walk.who)
            inode = directory.create(dentry.name, S_IFREG | umasked(mode))
            cache.instantiate(dentry, inode)
            created = True
        else:
            created = False
    if not created:
        if flags & O_EXCL:
            raise FileExistsError
        return _open_existing(walk, dentry, flags)
    walk.stand(mount, dentry)
    made = walk.inode()
    return made.open(flags, walk.path())


def umasked(mode: u32) -> u32:
    """Permission bits of a new file."""
    return mode & PERMISSIONS & (0xFFFFFFFF - machine.percpu.current().fs.umask.load_relaxed())


def _open_temporary(walk: Walk, flags: u32, mode: u32) -> File:
    """O_TMPFILE: a file without a name in the directory's file system."""
    if flags & O_ACCMODE == 0:
        raise OSError(errno.EINVAL)
    directory = walk.inode()
    if not directory.is_directory():
        raise NotADirectoryError
    require_writable(walk.mount)
    require(directory, WRITE | EXEC, walk.who)
    with directory.lock:
        inode = directory.temporary(S_IFREG | umasked(mode))
    dentry = Dentry(b"#temporary", 0, walk.dentry, inode)
    dentry.dead = True
    walk.stand(walk.mount, dentry)
    return inode.open(flags, walk.path())


def open_found(walk: Walk, inode: Inode, flags: u32) -> File:
    """Open what the walk ended at. Permissions first, then truncation."""
    if inode.is_symlink():
        raise OSError(errno.ELOOP)
    wanted = access_mask(flags)
    if flags & O_TRUNC:
        wanted |= WRITE
    if inode.is_directory():
        if wanted & WRITE:
            raise IsADirectoryError
    elif wanted & WRITE and read_only_for(inode, walk.mount):
        raise OSError(errno.EROFS)
    require(inode, wanted, walk.who)
    if flags & O_NOATIME and not owner_or_capable(inode, walk.who):
        raise OSError(errno.EPERM)
    if flags & O_TRUNC and inode.is_regular():
        truncate(inode, 0)
    return inode.open(flags, walk.path())


def access_mask(flags: u32) -> u32:
    """Which permissions O_ACCMODE asks for; 3 asks for both (Linux, for ioctl-only opens)."""
    access = flags & O_ACCMODE
    if access == O_RDONLY:
        return u32(READ)
    return u32(WRITE) if access == O_WRONLY else u32(READ | WRITE)


def truncate(inode: Inode, size: u64) -> None:
    """Cut or extend a regular file; set-id bits go as after a write."""
    with inode.lock:
        inode.truncate(size)
        if inode.mode & 0o6000 and not machine.percpu.current().credentials.capable(4):
            inode.mode = without_privilege_bits(inode.mode)
