# SPDX-License-Identifier: Apache-2.0
"""What mount(2) and umount2(2) do, without the system call: new mounts, binds, moves, remounts."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.mount import MS_RDONLY, MS_REC, PER_MOUNT
from kaa.kernel.fs.mount import Mount, is_below, new_mount, table
from kaa.kernel.fs.path import Path
from kaa.kernel.fs.superblock import find_type
from kaa.lang import Bytes, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.superblock import SuperBlock


def mount_new(kind: Bytes, source: bytes, at: Path, flags: u64, data: bytes) -> None:
    """A new instance of file system `kind` at a directory. Raises OSError(ENODEV), OSError(ENOTDIR), and what the kind
    raises."""
    superblock = find_type(kind).mount(source, flags & MS_RDONLY, data)
    attach_superblock(superblock, source, at, flags)


def attach_superblock(superblock: SuperBlock, source: bytes, at: Path, flags: u64) -> None:
    """Cover `at` with a whole file system."""
    root = superblock.root_inode()
    assert root is not None
    if root.is_directory() != at.inode().is_directory():
        raise NotADirectoryError
    mount = new_mount(superblock, source, flags)
    with table.change:
        table.attach(mount, at)


def bind(source: Path, at: Path, flags: u64) -> None:
    """MS_BIND: let a place be seen at another one too; with MS_REC also what is mounted below it."""
    if source.inode().is_directory() != at.inode().is_directory():
        raise NotADirectoryError
    with table.change:
        copy = Mount(source.mount.superblock, source.dentry, source.mount.source, source.mount.flags)
        table.attach(copy, at)
        if flags & MS_REC:
            _bind_below(source, copy)


def _bind_below(source: Path, copy: Mount) -> None:
    """Copies of the mounts that stand below `source`, and of theirs; level by level: a chain of them may be long."""
    sources: list[Path] = [source]
    copies: list[Mount] = [copy]
    done: usize = 0
    while done < len(sources):
        above = sources[done]
        into = copies[done]
        done += 1
        for index in range(len(table.mounts)):
            candidate = table.mounts[index]
            point = candidate.point
            if candidate is copy or point is None or candidate.parent is not above.mount:
                continue
            if is_below(point, above.dentry):
                deeper = Mount(candidate.superblock, candidate.root, candidate.source, candidate.flags)
                table.attach(deeper, Path(into, point))
                sources.append(Path(candidate, candidate.root))
                copies.append(deeper)


def move(source: Path, at: Path) -> None:
    """MS_MOVE: a whole mount goes to another place, not below itself."""
    if source.dentry is not source.mount.root:
        raise OSError(errno.EINVAL)
    with table.change:
        walker: Mount | None = at.mount
        while walker is not None:
            if walker is source.mount:
                raise OSError(errno.ELOOP)
            walker = walker.parent
        table.move(source.mount, at)


def remount(at: Path, flags: u64, data: Bytes) -> None:
    """MS_REMOUNT: new flags for the mount and its file system."""
    if at.dentry is not at.mount.root:
        raise OSError(errno.EINVAL)
    with table.change:
        at.mount.superblock.remount(flags & MS_RDONLY, data)
        at.mount.flags = flags & PER_MOUNT


def remount_bind(at: Path, flags: u64) -> None:
    """MS_REMOUNT with MS_BIND: new flags for this mount alone."""
    if at.dentry is not at.mount.root:
        raise OSError(errno.EINVAL)
    at.mount.flags = flags & PER_MOUNT
