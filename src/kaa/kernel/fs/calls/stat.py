# SPDX-License-Identifier: Apache-2.0
"""stat(2) and its family, statx(2), access(2), readlink(2), statfs(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import (
    AT_EACCESS,
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_NO_AUTOMOUNT,
    AT_STATX_SYNC_TYPE,
    AT_SYMLINK_NOFOLLOW,
)
from kaa.kernel.abi.stat import (
    STATX_ATTR_MOUNT_ROOT,
    STATX_BASIC_STATS,
    STATX_BTIME,
    STATX_MNT_ID,
    STATX_RESERVED,
    Stat,
    Statx,
    StatxTimestamp,
    device_major,
    device_minor,
)
from kaa.kernel.abi.statfs import ST_VALID, Statfs
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.arch import machine
from kaa.kernel.fs.at import path_at, walk_at, walk_flags
from kaa.kernel.fs.namei import EMPTY, FOLLOW
from kaa.kernel.fs.permission import WRITE, permitted, read_only_for
from kaa.kernel.mm.user import UserBuf, UserString
from kaa.lang import as_bytes, i32, i64, u16, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.mount import Mount
    from kaa.kernel.fs.superblock import SuperBlock
    from kaa.kernel.process.credentials import Credentials

SECOND = 1_000_000_000


def copy_stat(inode: Inode, into: UserBuf) -> None:
    """Fill in the caller's struct stat."""
    inode.getattr()
    st = Stat()
    st.st_dev = inode.superblock.device
    st.st_ino = inode.number
    st.st_nlink = u64(inode.nlink)
    st.st_mode = inode.mode
    st.st_uid = inode.uid
    st.st_gid = inode.gid
    st.st_rdev = inode.rdev
    st.st_size = i64(inode.size)
    st.st_blksize = i64(inode.superblock.block_size)
    st.st_blocks = i64(inode.blocks())
    accessed = inode.accessed
    st.st_atime = accessed // SECOND
    st.st_atime_nsec = accessed % SECOND
    modified = inode.modified
    st.st_mtime = modified // SECOND
    st.st_mtime_nsec = modified % SECOND
    changed = inode.changed
    st.st_ctime = changed // SECOND
    st.st_ctime_nsec = changed % SECOND
    into.copy_out(as_bytes(st))


def inode_of(fd: Fd) -> Inode:
    """The inode of an open file. Raises OSError(EBADF)."""
    inode = machine.percpu.current().files.get(fd).inode()
    if inode is None:
        raise OSError(errno.EBADF)
    return inode


@syscall(x86_64=5, arm64=80)
def fstat(fd: Fd, into: UserBuf) -> None:
    """fstat(2): of an open file."""
    copy_stat(inode_of(fd), into.first(144))


def _stat_at(dirfd: i32, name: UserString, into: UserBuf, flags: u32) -> None:
    walk = walk_at(dirfd, name, flags)
    walk.to_end()
    copy_stat(walk.inode(), into.first(144))


@syscall(x86_64=4)
def stat(name: UserString, into: UserBuf) -> None:
    """stat(2): of what a path leads to."""
    _stat_at(AT_FDCWD, name, into, FOLLOW)


@syscall(x86_64=6)
def lstat(name: UserString, into: UserBuf) -> None:
    """lstat(2): of the symbolic link itself."""
    _stat_at(AT_FDCWD, name, into, 0)


@syscall(x86_64=262, arm64=79)
def newfstatat(dirfd: Fd, name: UserString, into: UserBuf, flags: u32) -> None:
    """fstatat(2): relative to a directory; AT_EMPTY_PATH: of the descriptor itself."""
    bits = walk_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT)
    if flags & AT_EMPTY_PATH and dirfd >= 0:
        text = name.read_path()
        if len(text) == 0:
            copy_stat(inode_of(dirfd), into.first(144))
            return
    _stat_at(dirfd, name, into, bits)


def _timestamp(time: i64) -> StatxTimestamp:
    return StatxTimestamp(time // SECOND, u32(time % SECOND))


def copy_statx(inode: Inode, mount: Mount | None, is_root: bool, into: UserBuf) -> None:
    """Fill in the caller's struct statx: always everything that is known."""
    inode.getattr()
    stx = Statx()
    stx.stx_mask = STATX_BASIC_STATS | STATX_BTIME
    stx.stx_blksize = inode.superblock.block_size
    stx.stx_nlink = inode.nlink
    stx.stx_uid = inode.uid
    stx.stx_gid = inode.gid
    stx.stx_mode = u16(inode.mode)
    stx.stx_ino = inode.number
    stx.stx_size = inode.size
    stx.stx_blocks = inode.blocks()
    stx.stx_atime = _timestamp(inode.accessed)
    stx.stx_btime = _timestamp(inode.born)
    stx.stx_ctime = _timestamp(inode.changed)
    stx.stx_mtime = _timestamp(inode.modified)
    stx.stx_rdev_major = device_major(inode.rdev)
    stx.stx_rdev_minor = device_minor(inode.rdev)
    stx.stx_dev_major = device_major(inode.superblock.device)
    stx.stx_dev_minor = device_minor(inode.superblock.device)
    stx.stx_attributes_mask = STATX_ATTR_MOUNT_ROOT
    if mount is not None:
        stx.stx_mask = stx.stx_mask | STATX_MNT_ID
        stx.stx_mnt_id = u64(mount.number)
        if is_root:
            stx.stx_attributes = STATX_ATTR_MOUNT_ROOT
    into.copy_out(as_bytes(stx))


@syscall(x86_64=332, arm64=291)
def statx(dirfd: Fd, name: UserString, flags: u32, mask: u32, into: UserBuf) -> None:
    """statx(2): extended attributes of a file; birth time and mount id are always given."""
    if mask & STATX_RESERVED or flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE:
        raise OSError(errno.EINVAL)
    known = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE
    bits = walk_flags(flags, known)
    if flags & AT_EMPTY_PATH and dirfd >= 0:
        text = name.read_path()
        if len(text) == 0:
            copy_statx(inode_of(dirfd), None, False, into.first(256))
            return
    walk = walk_at(dirfd, name, bits)
    walk.to_end()
    copy_statx(walk.inode(), walk.mount, walk.dentry is walk.mount.root, into.first(256))


def _real_credentials(who: Credentials) -> Credentials:
    """access(2) asks for the real ids; capabilities count only for a real root (capabilities(7))."""
    if who.uid == who.fsuid and who.gid == who.fsgid:
        return who
    real = who.copy()
    real.fsuid = who.uid
    real.fsgid = who.gid
    real.effective = who.permitted if who.uid == 0 else u64(0)
    return real


@syscall(x86_64=439, arm64=439)
def faccessat2(dirfd: Fd, name: UserString, mode: u32, flags: u32) -> None:
    """faccessat(2): may the caller read, write, execute? With AT_EACCESS the effective ids count."""
    if mode & 0xFFFFFFF8 != 0:
        raise OSError(errno.EINVAL)
    bits = walk_flags(flags & (0xFFFFFFFF - AT_EACCESS), AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)
    task = machine.percpu.current()
    who = task.credentials
    if flags & AT_EACCESS == 0:
        who = _real_credentials(who)
    walk = walk_at(dirfd, name, bits)
    walk.other_user = who
    walk.to_end()
    inode = walk.inode()
    if mode & WRITE and read_only_for(inode, walk.mount):
        raise OSError(errno.EROFS)
    if not permitted(inode, mode, who):
        raise OSError(errno.EACCES)


@syscall(x86_64=269, arm64=48)
def faccessat(dirfd: Fd, name: UserString, mode: u32) -> None:
    """faccessat(2), the old call without flags."""
    faccessat2(dirfd, name, mode, 0)


@syscall(x86_64=21)
def access(name: UserString, mode: u32) -> None:
    """access(2): may the real user read, write, execute?"""
    faccessat2(AT_FDCWD, name, mode, 0)


@syscall(x86_64=267, arm64=78)
def readlinkat(dirfd: Fd, name: UserString, buf: UserBuf, size: i32) -> usize:
    """readlinkat(2): a symbolic link's target, cut to `size` bytes, without a NUL."""
    if size <= 0:
        raise OSError(errno.EINVAL)
    walk = walk_at(dirfd, name, EMPTY)
    empty = len(walk.name) == 0
    walk.to_end()
    inode = walk.inode()
    if not inode.is_symlink():
        raise OSError(errno.ENOENT if empty else errno.EINVAL)
    target = inode.readlink()
    count = min(len(target), usize(size))
    buf.first(count).copy_out(target[0:count])
    return count


@syscall(x86_64=89)
def readlink(name: UserString, buf: UserBuf, size: i32) -> usize:
    """readlink(2): readlinkat from the current directory."""
    return readlinkat(AT_FDCWD, name, buf, size)


def _copy_statfs(superblock: SuperBlock, mount_flags: u64, into: UserBuf) -> None:
    info = Statfs()
    info.f_type = i64(superblock.magic)
    info.f_bsize = i64(superblock.block_size)
    info.f_frsize = i64(superblock.block_size)
    info.f_namelen = 255
    info.f_fsid[0] = i32(superblock.device)
    info.f_flags = i64(((mount_flags | superblock.flags) & 0x140F) | ST_VALID)
    superblock.statfs(info)
    into.copy_out(as_bytes(info))


@syscall(x86_64=137, arm64=43)
def statfs(name: UserString, into: UserBuf) -> None:
    """statfs(2): of the file system a path is in."""
    path = path_at(AT_FDCWD, name, FOLLOW)
    _copy_statfs(path.mount.superblock, path.mount.flags, into.first(120))


@syscall(x86_64=138, arm64=44)
def fstatfs(fd: Fd, into: UserBuf) -> None:
    """fstatfs(2): of the file system an open file is in."""
    file = machine.percpu.current().files.get(fd)
    path = file.path
    if path is not None:
        _copy_statfs(path.mount.superblock, path.mount.flags, into.first(120))
        return
    _copy_statfs(inode_of(fd).superblock, 0, into.first(120))
