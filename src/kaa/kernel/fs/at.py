# SPDX-License-Identifier: Apache-2.0
"""What the ...at calls share: where a relative name starts, and the AT_ flags."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW
from kaa.kernel.arch import machine
from kaa.kernel.fs.namei import EMPTY, FOLLOW, Walk
from kaa.kernel.mm.user import UserString
from kaa.lang import i32, u32

if TYPE_CHECKING:
    from kaa.kernel.fs.path import Path

SLASH = 0x2F


def start_of(dirfd: i32, name: bytes) -> Path:
    """Where `name` starts: the root, the current directory, or the directory open as `dirfd`. Raises OSError(EBADF),
    OSError(ENOTDIR)."""
    task = machine.percpu.current()
    if len(name) > 0 and name[0] == SLASH:
        return task.fs.root()
    if dirfd == AT_FDCWD:
        return task.fs.cwd()
    path = task.files.get(dirfd).path
    if path is None:
        raise NotADirectoryError
    return path


def walk_at(dirfd: i32, name: UserString, flags: u32) -> Walk:
    """A walk that starts as the call says, not yet begun. Raises OSError(EFAULT), OSError(ENAMETOOLONG)."""
    text = name.read_path()
    return Walk(start_of(dirfd, text), text, flags)


def path_at(dirfd: i32, name: UserString, flags: u32) -> Path:
    """The place that a call's (dirfd, path) means."""
    walk = walk_at(dirfd, name, flags)
    walk.to_end()
    return walk.path()


def walk_flags(at_flags: u32, known: u32) -> u32:
    """Walk flags from AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH. Raises OSError(EINVAL) for bits outside `known`."""
    if at_flags & (0xFFFFFFFF - known) != 0:
        raise OSError(errno.EINVAL)
    flags: u32 = u32(FOLLOW)
    if at_flags & AT_SYMLINK_NOFOLLOW:
        flags = u32(0)
    if at_flags & AT_EMPTY_PATH:
        flags |= EMPTY
    return flags
