# SPDX-License-Identifier: Apache-2.0
"""rename(2), renameat(2), renameat2(2).

Two directories are locked together: an ancestor before its descendant, else by inode number; and renames that move
something to another directory exclude each other (`across`), so that nobody can move a directory under itself
meanwhile. What is replaced is locked last: a directory must stay empty, a file's links are counted.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import AT_FDCWD, RENAME_EXCHANGE, RENAME_NOREPLACE
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.fs.at import walk_at
from kaa.kernel.fs.dentry import Dentry, cache
from kaa.kernel.fs.mount import is_below
from kaa.kernel.fs.namei import NORMAL, Walk, find_or_load
from kaa.kernel.fs.permission import EXEC, WRITE, may_delete, require, require_writable
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.mm.user import UserString
from kaa.lang import u32

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode

across = Mutex("rename across directories")


@syscall(x86_64=316, arm64=276)
def renameat2(from_fd: Fd, source: UserString, to_fd: Fd, target: UserString, flags: u32) -> None:
    """renameat2(2): rename; RENAME_NOREPLACE and RENAME_EXCHANGE are known, RENAME_WHITEOUT is refused."""
    if flags & (0xFFFFFFFF - (RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0:
        raise OSError(errno.EINVAL)
    if flags == RENAME_NOREPLACE | RENAME_EXCHANGE:
        raise OSError(errno.EINVAL)
    rename_walks(walk_at(from_fd, source, 0), walk_at(to_fd, target, 0), flags)


@syscall(x86_64=264, arm64=38)
def renameat(from_fd: Fd, source: UserString, to_fd: Fd, target: UserString) -> None:
    """renameat(2): rename."""
    renameat2(from_fd, source, to_fd, target, 0)


@syscall(x86_64=82)
def rename(source: UserString, target: UserString) -> None:
    """rename(2): rename."""
    renameat2(AT_FDCWD, source, AT_FDCWD, target, 0)


def rename_walks(old: Walk, new: Walk, flags: u32) -> None:
    """The call, given both walks not yet begun."""
    old.to_last()
    new.to_last()
    if old.mount is not new.mount:
        raise OSError(errno.EXDEV)
    if old.kind != NORMAL:
        raise OSError(errno.EBUSY)
    if new.kind != NORMAL:
        raise OSError(errno.EEXIST if flags & RENAME_NOREPLACE else errno.EBUSY)
    require_writable(old.mount)
    if old.dentry is new.dentry:
        with old.inode().lock:
            _locked(old, new, flags)
        return
    with across:
        _two_directories(old, new, flags)


def _two_directories(old: Walk, new: Walk, flags: u32) -> None:
    first = old.inode()
    second = new.inode()
    if is_below(old.dentry, new.dentry) or (not is_below(new.dentry, old.dentry) and first.number > second.number):
        first = new.inode()
        second = old.inode()
    if first is second:
        # Two names of one directory, as only a server can show it.
        raise OSError(errno.EBUSY)
    with first.lock:
        with second.lock.nested():
            _locked(old, new, flags)


def _locked(old: Walk, new: Walk, flags: u32) -> None:
    """Both directories are locked: look, check, do, and tell the cache."""
    source = find_or_load(old.dentry, old.component(), old.hash)
    moved = source.inode
    if moved is None:
        raise FileNotFoundError
    victim = find_or_load(new.dentry, new.component(), new.hash)
    _check_slashes(old, new, moved, victim, flags)
    if is_below(new.dentry, source):
        raise OSError(errno.EINVAL)
    if is_below(old.dentry, victim):
        raise OSError(errno.EINVAL if flags & RENAME_EXCHANGE else errno.ENOTEMPTY)
    if victim.inode is moved:
        return
    may_delete(old.inode(), moved, old.who)
    _check_target(new, moved, victim, flags)
    if moved.is_directory() and old.dentry is not new.dentry:
        require(moved, WRITE, old.who)
    other = victim.inode
    if other is None:
        _carry_out(old, new, source, victim, flags)
        return
    if other is old.inode() or other is new.inode():
        raise OSError(errno.EBUSY)
    with other.lock.nested():
        _carry_out(old, new, source, victim, flags)
        if other.is_directory() and flags & RENAME_EXCHANGE == 0:
            other.removed = True
    if flags & RENAME_EXCHANGE == 0:
        cache.prune(victim)


def _check_slashes(old: Walk, new: Walk, moved: Inode, victim: Dentry, flags: u32) -> None:
    if flags & RENAME_NOREPLACE and victim.inode is not None:
        raise FileExistsError
    if flags & RENAME_EXCHANGE and victim.inode is None:
        raise FileNotFoundError
    if not moved.is_directory() and (old.trailing or (new.trailing and flags & RENAME_EXCHANGE == 0)):
        raise NotADirectoryError


def _check_target(new: Walk, moved: Inode, victim: Dentry, flags: u32) -> None:
    other = victim.inode
    if other is None:
        require(new.inode(), WRITE | EXEC, new.who)
        return
    may_delete(new.inode(), other, new.who)
    if flags & RENAME_EXCHANGE == 0:
        if moved.is_directory() and not other.is_directory():
            raise NotADirectoryError
        if not moved.is_directory() and other.is_directory():
            raise IsADirectoryError


def _carry_out(old: Walk, new: Walk, source: Dentry, victim: Dentry, flags: u32) -> None:
    if source.mounts != 0 or victim.mounts != 0:
        raise OSError(errno.EBUSY)
    name = bytes(new.component())
    old.inode().rename(source.name, new.inode(), name, flags)
    if flags & RENAME_EXCHANGE:
        cache.exchange(source, victim)
        return
    cache.remove(victim)
    cache.move(source, new.dentry, name, new.hash)
