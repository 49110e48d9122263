# SPDX-License-Identifier: Apache-2.0
"""open(2), openat(2), creat(2), openat2(2), close(2), close_range(2)."""

from __future__ import annotations

import errno

from kaa.kernel.abi.fcntl import (
    AT_FDCWD,
    CLOSE_RANGE_CLOEXEC,
    CLOSE_RANGE_UNSHARE,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_LARGEFILE,
    O_NOFOLLOW,
    O_PATH,
    O_TMPFILE_BIT,
    O_TRUNC,
    O_VALID,
    O_WRONLY,
    PATH_MAX,
    RESOLVE_BENEATH,
    RESOLVE_CACHED,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    OpenHow,
)
from kaa.kernel.abi.stat import PERMISSIONS
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.arch import machine
from kaa.kernel.fs import open as opening
from kaa.kernel.fs.at import start_of
from kaa.kernel.fs.namei import BENEATH, CACHED, IN_ROOT, NO_LINKS, NO_MAGIC, NO_XDEV
from kaa.kernel.mm.user import UserBuf, UserString
from kaa.kernel.process import unsharing
from kaa.lang import as_bytes, i32, u32, u64, usize

OPEN_HOW_SIZE = 24
KEPT_BY_PATH = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC


def _open(dirfd: i32, name: UserString, flags: u32, mode: u32, restrictions: u32) -> i32:
    text = name.read_path()
    files = machine.percpu.current().files
    files.require_room()
    kept = flags & KEPT_BY_PATH if flags & O_PATH else flags
    file = opening.open_at(start_of(dirfd, text), text, kept, mode, restrictions)
    return files.install(file, flags & O_CLOEXEC != 0)


@syscall(x86_64=257, arm64=56)
def openat(dirfd: Fd, name: UserString, flags: u32, mode: u32) -> i32:
    """openat(2): open or create a file; unknown flags are ignored, as they always were."""
    known = (flags & O_VALID) | O_LARGEFILE
    if known & O_TMPFILE_BIT and (known & O_DIRECTORY == 0 or known & 3 == 0):
        raise OSError(errno.EINVAL)
    if known & O_CREAT and known & O_DIRECTORY and known & (O_TMPFILE_BIT | O_PATH) == 0:
        raise OSError(errno.EINVAL)
    return _open(dirfd, name, known, mode, 0)


@syscall(x86_64=2)
def open(name: UserString, flags: u32, mode: u32) -> i32:
    """open(2): openat from the current directory."""
    return openat(AT_FDCWD, name, flags, mode)


@syscall(x86_64=85)
def creat(name: UserString, mode: u32) -> i32:
    """creat(2): open with O_CREAT, O_WRONLY and O_TRUNC."""
    return openat(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode)


@syscall(x86_64=437, arm64=437)
def openat2(dirfd: Fd, name: UserString, how: UserBuf, size: usize) -> i32:
    """openat2(2): open with the walk restricted; unknown flags are errors."""
    if size < OPEN_HOW_SIZE:
        raise OSError(errno.EINVAL)
    if size > PATH_MAX:
        raise OSError(errno.E2BIG)
    request = OpenHow()
    buf = how.first(size)
    buf.copy_in(as_bytes(request))
    _require_zeroes(buf)
    flags = u32(request.flags & 0xFFFFFFFF)
    if request.flags & (0xFFFFFFFFFFFFFFFF - O_VALID) != 0 or request.mode & (0xFFFFFFFFFFFFFFFF - PERMISSIONS) != 0:
        raise OSError(errno.EINVAL)
    if request.mode != 0 and flags & (O_CREAT | O_TMPFILE_BIT) == 0:
        raise OSError(errno.EINVAL)
    if flags & O_PATH and flags & (0xFFFFFFFF - KEPT_BY_PATH) != 0:
        raise OSError(errno.EINVAL)
    if flags & O_TMPFILE_BIT and (flags & O_DIRECTORY == 0 or flags & 3 == 0):
        raise OSError(errno.EINVAL)
    return _open(dirfd, name, flags | O_LARGEFILE, u32(request.mode), _restrictions(request.resolve, flags))


def _restrictions(resolve: u64, flags: u32) -> u32:
    known = (
        RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS
        | RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED
    )
    if resolve & (0xFFFFFFFFFFFFFFFF - known) != 0:
        raise OSError(errno.EINVAL)
    if resolve & RESOLVE_BENEATH and resolve & RESOLVE_IN_ROOT:
        raise OSError(errno.EINVAL)
    if resolve & RESOLVE_CACHED and flags & (O_TRUNC | O_CREAT | O_TMPFILE_BIT):
        raise BlockingIOError
    bits: u32 = u32(0)
    if resolve & RESOLVE_NO_XDEV:
        bits |= NO_XDEV
    if resolve & RESOLVE_NO_MAGICLINKS:
        bits |= NO_MAGIC
    if resolve & RESOLVE_NO_SYMLINKS:
        bits |= NO_LINKS | NO_MAGIC
    if resolve & RESOLVE_BENEATH:
        bits |= BENEATH
    if resolve & RESOLVE_IN_ROOT:
        bits |= IN_ROOT
    if resolve & RESOLVE_CACHED:
        bits |= CACHED
    return bits


def _require_zeroes(buf: UserBuf) -> None:
    """What a newer caller's structure has beyond ours must be zero. Raises OSError(E2BIG)."""
    while buf.remaining() > 0:
        word = OpenHow()
        buf.copy_in(as_bytes(word)[0 : min(buf.remaining(), 8)])
        if word.flags != 0:
            raise OSError(errno.E2BIG)


@syscall(x86_64=3, arm64=57)
def close(fd: Fd) -> None:
    """close(2): give up a descriptor. The descriptor is gone even when this reports an error."""
    machine.percpu.current().files.close(fd)


@syscall(x86_64=436, arm64=436)
def close_range(first: u32, last: u32, flags: u32) -> None:
    """close_range(2): close, or mark close-on-exec, a range of descriptors."""
    if flags & (0xFFFFFFFF - (CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) != 0 or first > last:
        raise OSError(errno.EINVAL)
    task = machine.percpu.current()
    if flags & CLOSE_RANGE_UNSHARE:
        unsharing.unshare_files(task)
    if flags & CLOSE_RANGE_CLOEXEC:
        task.files.mark_range(first, last)
    else:
        task.files.close_range(first, last)
