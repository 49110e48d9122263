# SPDX-License-Identifier: Apache-2.0
"""Who may do what to an inode: path_resolution(7), credentials(7), capabilities(7). File-system ids decide."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.mount import MS_RDONLY
from kaa.kernel.abi.stat import S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFSOCK, S_ISGID, S_ISVTX, S_IXGRP
from kaa.lang import inline, u32

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.mount import Mount
    from kaa.kernel.process.credentials import Credentials

EXEC = 1
WRITE = 2
READ = 4
"""The access mask, as access(2) has it."""

CAP_CHOWN = 0
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_FOWNER = 3
CAP_FSETID = 4
CAP_SYS_CHROOT = 18
CAP_SYS_ADMIN = 21
CAP_MKNOD = 27


def granted_bits(inode: Inode, who: Credentials) -> u32:
    """The three permission bits that apply to `who`: owner's, group's or others'."""
    if inode.uid == who.fsuid:
        return (inode.mode >> 6) & 7
    if who.in_group(inode.gid):
        return (inode.mode >> 3) & 7
    return inode.mode & 7


@inline
def anyone_may_search(inode: Inode) -> bool:
    """Whether names may be looked up in a directory whoever asks: so it is of most. Else `permitted` tells."""
    return inode.mode & 0o111 == 0o111


def permitted(inode: Inode, mask: u32, who: Credentials) -> bool:
    """Whether `who` may do everything in `mask` (READ, WRITE, EXEC)."""
    if granted_bits(inode, who) & mask == mask:
        return True
    if inode.is_directory():
        if who.capable(CAP_DAC_OVERRIDE):
            return True
        return mask & WRITE == 0 and who.capable(CAP_DAC_READ_SEARCH)
    if mask & EXEC == 0 or inode.mode & 0o111 != 0:
        if who.capable(CAP_DAC_OVERRIDE):
            return True
    return mask == READ and who.capable(CAP_DAC_READ_SEARCH)


def require(inode: Inode, mask: u32, who: Credentials) -> None:
    """Raises OSError(EACCES) unless permitted."""
    if not permitted(inode, mask, who):
        raise OSError(errno.EACCES)


def require_writable(mount: Mount) -> None:
    """Raises OSError(EROFS) on a read-only mount or file system."""
    if (mount.flags | mount.superblock.flags) & MS_RDONLY:
        raise OSError(errno.EROFS)


def read_only_for(inode: Inode, mount: Mount) -> bool:
    """Whether writing is refused because of the mount: devices, FIFOs and sockets are written elsewhere."""
    kind = inode.mode & S_IFMT
    if kind == S_IFCHR or kind == S_IFBLK or kind == S_IFIFO or kind == S_IFSOCK:
        return False
    return (mount.flags | mount.superblock.flags) & MS_RDONLY != 0


def owner_or_capable(inode: Inode, who: Credentials) -> bool:
    """Whether `who` counts as the owner (chmod, utime…)."""
    return inode.uid == who.fsuid or who.capable(CAP_FOWNER)


def may_delete(directory: Inode, victim: Inode, who: Credentials) -> None:
    """Write and search on the directory, and its sticky bit: raises OSError(EACCES) or OSError(EPERM)."""
    require(directory, WRITE | EXEC, who)
    if directory.mode & S_ISVTX:
        if directory.uid != who.fsuid and victim.uid != who.fsuid and not who.capable(CAP_FOWNER):
            raise OSError(errno.EPERM)


def own_new(inode: Inode, directory: Inode, who: Credentials) -> None:
    """Owner and group of a file made by `who`: a set-group-ID directory hands its group on (inode(7))."""
    inode.uid = who.fsuid
    if directory.mode & S_ISGID:
        inode.gid = directory.gid
        if inode.is_directory():
            inode.mode |= S_ISGID
    else:
        inode.gid = who.fsgid


def without_privilege_bits(mode: u32) -> u32:
    """`mode` after a write or chown by an ordinary user: no set-user-ID, no set-group-ID where the group may
    execute."""
    mode &= 0o173777
    if mode & S_IXGRP:
        mode &= 0o175777
    return mode
