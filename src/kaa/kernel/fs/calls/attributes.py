# SPDX-License-Identifier: Apache-2.0
"""chmod(2), chown(2), utimensat(2) and their older forms, truncate(2), umask(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW
from kaa.kernel.abi.stat import PERMISSIONS, S_ISGID, UTIME_NOW, UTIME_OMIT
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.arch import machine
from kaa.kernel.fs.at import path_at, walk_flags
from kaa.kernel.fs.inode import (
    SET_ACCESSED,
    SET_ACCESSED_NOW,
    SET_GID,
    SET_MODE,
    SET_MODIFIED,
    SET_MODIFIED_NOW,
    SET_UID,
    Change,
)
from kaa.kernel.fs.namei import FOLLOW
from kaa.kernel.fs.open import truncate as truncate_inode
from kaa.kernel.fs.permission import (
    CAP_CHOWN,
    CAP_FSETID,
    WRITE,
    owner_or_capable,
    permitted,
    read_only_for,
    require,
    require_writable,
    without_privilege_bits,
)
from kaa.kernel.mm.user import UserPtr, UserString
from kaa.lang import i64, struct, trusted, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.mount import Mount

SECOND = 1_000_000_000
KEEP = 0xFFFFFFFF
"""(uid_t) -1: leave it."""


@struct
class Seconds:
    """struct timespec or struct timeval, as utimensat and utimes take them."""

    seconds: i64 = 0
    fraction: i64 = 0


def change_mode(inode: Inode, mount: Mount, mode: u32) -> None:
    """chmod(2) on an inode. A set-group-ID bit that the caller may not give is dropped silently."""
    require_writable(mount)
    who = machine.percpu.current().credentials
    if not owner_or_capable(inode, who):
        raise OSError(errno.EPERM)
    wanted = mode & PERMISSIONS
    if wanted & S_ISGID and not who.in_group(inode.gid) and not who.capable(CAP_FSETID):
        wanted &= PERMISSIONS - S_ISGID
    with inode.lock:
        inode.setattr(Change(mask=SET_MODE, mode=wanted))


@syscall(x86_64=91, arm64=52)
def fchmod(fd: Fd, mode: u32) -> None:
    """fchmod(2): permission bits of an open file."""
    file = machine.percpu.current().files.get(fd)
    inode = file.inode()
    path = file.path
    if inode is None:
        raise OSError(errno.EBADF)
    if path is None:
        with inode.lock:
            inode.setattr(Change(mask=SET_MODE, mode=mode & PERMISSIONS))
        return
    change_mode(inode, path.mount, mode)


@syscall(x86_64=452, arm64=452)
def fchmodat2(dirfd: Fd, name: UserString, mode: u32, flags: u32) -> None:
    """fchmodat2(2): permission bits; a symbolic link's cannot be changed (EOPNOTSUPP)."""
    path = path_at(dirfd, name, walk_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
    inode = path.inode()
    if inode.is_symlink():
        raise OSError(errno.EOPNOTSUPP)
    change_mode(inode, path.mount, mode)


@syscall(x86_64=268, arm64=53)
def fchmodat(dirfd: Fd, name: UserString, mode: u32) -> None:
    """fchmodat(2): permission bits."""
    fchmodat2(dirfd, name, mode, 0)


@syscall(x86_64=90)
def chmod(name: UserString, mode: u32) -> None:
    """chmod(2): permission bits."""
    fchmodat2(AT_FDCWD, name, mode, 0)


def change_owner(inode: Inode, uid: u32, gid: u32) -> None:
    """chown(2) on an inode: the owner needs CAP_CHOWN, the group may become one of the owner's own."""
    who = machine.percpu.current().credentials
    change = Change()
    if uid != KEEP:
        if not who.capable(CAP_CHOWN) and (inode.uid != who.fsuid or uid != inode.uid):
            raise OSError(errno.EPERM)
        change.mask = change.mask | SET_UID
        change.uid = uid
    if gid != KEEP:
        if not who.capable(CAP_CHOWN) and (inode.uid != who.fsuid or not (who.in_group(gid) or gid == inode.gid)):
            raise OSError(errno.EPERM)
        change.mask = change.mask | SET_GID
        change.gid = gid
    with inode.lock:
        if not inode.is_directory() and inode.mode & 0o6000:
            change.mask = change.mask | SET_MODE
            change.mode = without_privilege_bits(inode.mode) & PERMISSIONS
        inode.setattr(change)


@syscall(x86_64=260, arm64=54)
def fchownat(dirfd: Fd, name: UserString, uid: u32, gid: u32, flags: u32) -> None:
    """fchownat(2): owner and group; -1 leaves one as it is."""
    path = path_at(dirfd, name, walk_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
    require_writable(path.mount)
    change_owner(path.inode(), uid, gid)


@syscall(x86_64=92)
def chown(name: UserString, uid: u32, gid: u32) -> None:
    """chown(2): owner and group."""
    fchownat(AT_FDCWD, name, uid, gid, 0)


@syscall(x86_64=94)
def lchown(name: UserString, uid: u32, gid: u32) -> None:
    """lchown(2): owner and group of a symbolic link itself."""
    fchownat(AT_FDCWD, name, uid, gid, AT_SYMLINK_NOFOLLOW)


@syscall(x86_64=93, arm64=55)
def fchown(fd: Fd, uid: u32, gid: u32) -> None:
    """fchown(2): owner and group of an open file."""
    file = machine.percpu.current().files.get(fd)
    inode = file.inode()
    if inode is None:
        raise OSError(errno.EBADF)
    path = file.path
    if path is not None:
        require_writable(path.mount)
    change_owner(inode, uid, gid)


@trusted("user", "set_times refuses seconds that do not fit; those beside UTIME_NOW are not looked at")
def _time(value: Seconds, now: i64) -> i64:
    if value.fraction == UTIME_NOW:
        return now
    return value.seconds * SECOND + value.fraction


def _valid(value: Seconds) -> bool:
    """Nanoseconds in range, or one of the two marks; seconds that fit 64-bit nanoseconds."""
    if value.fraction == UTIME_NOW or value.fraction == UTIME_OMIT:
        return True
    return 0 <= value.fraction < SECOND and -9_000_000_000 < value.seconds < 9_000_000_000


def set_times(inode: Inode, mount: Mount | None, accessed: Seconds, modified: Seconds) -> None:
    """utimensat(2) on an inode. Both "now": writers may; anything else is the owner's (EPERM)."""
    if not _valid(accessed) or not _valid(modified):
        raise OSError(errno.EINVAL)
    if accessed.fraction == UTIME_OMIT and modified.fraction == UTIME_OMIT:
        return
    if mount is not None:
        require_writable(mount)
    who = machine.percpu.current().credentials
    both_now = accessed.fraction == UTIME_NOW and modified.fraction == UTIME_NOW
    if not owner_or_capable(inode, who):
        if not both_now:
            raise OSError(errno.EPERM)
        if not permitted(inode, WRITE, who):
            raise OSError(errno.EACCES)
    now = i64(machine.clock.realtime_ns())
    change = Change()
    if accessed.fraction != UTIME_OMIT:
        change.mask = change.mask | SET_ACCESSED
        if accessed.fraction == UTIME_NOW:
            change.mask = change.mask | SET_ACCESSED_NOW
        change.accessed = _time(accessed, now)
    if modified.fraction != UTIME_OMIT:
        change.mask = change.mask | SET_MODIFIED
        if modified.fraction == UTIME_NOW:
            change.mask = change.mask | SET_MODIFIED_NOW
        change.modified = _time(modified, now)
    with inode.lock:
        inode.setattr(change)


def _set_times_at(dirfd: Fd, name: UserString, accessed: Seconds, modified: Seconds, flags: u32) -> None:
    if name.is_null() and dirfd != AT_FDCWD:
        if flags != 0:
            raise OSError(errno.EINVAL)
        file = machine.percpu.current().files.get(dirfd)
        inode = file.inode()
        if inode is None:
            raise OSError(errno.EBADF)
        path = file.path
        set_times(inode, None if path is None else path.mount, accessed, modified)
        return
    place = path_at(dirfd, name, walk_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
    set_times(place.inode(), place.mount, accessed, modified)


@syscall(x86_64=280, arm64=88)
def utimensat(dirfd: Fd, name: UserString, times: UserPtr[Seconds], flags: u32) -> None:
    """utimensat(2): access and modification time, to the nanosecond."""
    accessed = Seconds(0, UTIME_NOW)
    modified = Seconds(0, UTIME_NOW)
    if not times.is_null():
        accessed = times.read()
        modified = times.offset(1).read()
    _set_times_at(dirfd, name, accessed, modified, flags)


def _microseconds(times: UserPtr[Seconds], index: u64) -> Seconds:
    value = times.offset(index).read()
    if value.fraction < 0 or value.fraction >= 1_000_000:
        raise OSError(errno.EINVAL)
    return Seconds(value.seconds, value.fraction * 1000)


@syscall(x86_64=261)
def futimesat(dirfd: Fd, name: UserString, times: UserPtr[Seconds]) -> None:
    """futimesat(2): utimensat with microseconds."""
    if times.is_null():
        _set_times_at(dirfd, name, Seconds(0, UTIME_NOW), Seconds(0, UTIME_NOW), 0)
        return
    _set_times_at(dirfd, name, _microseconds(times, 0), _microseconds(times, 1), 0)


@syscall(x86_64=235)
def utimes(name: UserString, times: UserPtr[Seconds]) -> None:
    """utimes(2): access and modification time, to the microsecond."""
    futimesat(AT_FDCWD, name, times)


@syscall(x86_64=132)
def utime(name: UserString, times: UserPtr[i64]) -> None:
    """utime(2): access and modification time, to the second."""
    if times.is_null():
        _set_times_at(AT_FDCWD, name, Seconds(0, UTIME_NOW), Seconds(0, UTIME_NOW), 0)
        return
    accessed = times.read()
    modified = times.offset(1).read()
    _set_times_at(AT_FDCWD, name, Seconds(accessed, 0), Seconds(modified, 0), 0)


@syscall(x86_64=76, arm64=45)
def truncate(name: UserString, length: i64) -> None:
    """truncate(2): cut or extend a file by name."""
    if length < 0:
        raise OSError(errno.EINVAL)
    path = path_at(AT_FDCWD, name, FOLLOW)
    inode = path.inode()
    if inode.is_directory():
        raise IsADirectoryError
    if not inode.is_regular():
        raise OSError(errno.EINVAL)
    if read_only_for(inode, path.mount):
        raise OSError(errno.EROFS)
    require(inode, WRITE, machine.percpu.current().credentials)
    truncate_inode(inode, u64(length))


@syscall(x86_64=77, arm64=46)
def ftruncate(fd: Fd, length: i64) -> None:
    """ftruncate(2): cut or extend an open file."""
    if length < 0:
        raise OSError(errno.EINVAL)
    file = machine.percpu.current().files.get(fd)
    if not file.writable():
        raise OSError(errno.EINVAL)
    file.truncate(u64(length))


@syscall(x86_64=95, arm64=166)
def umask(mask: u32) -> u32:
    """umask(2): permission bits that new files do not get; gives the old ones."""
    return machine.percpu.current().fs.umask.exchange(mask & 0o777)
