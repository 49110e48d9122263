# SPDX-License-Identifier: Apache-2.0
"""A mounted file system, and the registry of the kinds there are.

`@filesystem("tmpfs")` on a function `mount(source, flags, data) -> SuperBlock` registers a kind at import time.

An inode holds its superblock, and the superblock its root inode: `shutdown`, called when the last mount goes, breaks
that ring.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.statfs import Statfs
from kaa.kernel.locking.spinlock import SpinLock
from kaa.lang import Atomic, Bytes, Guarded, noinline, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.text import TextBuffer


class Numbers:
    """Where anonymous device numbers (st_dev with major 0) come from."""

    last: Atomic[u32]

    def __init__(self) -> None:
        self.last = Atomic(0)


numbers = Numbers()


class SuperBlock:
    """A file system instance. `flags` holds the MS_ bits that belong to the instance (MS_RDONLY)."""

    kind: Final[FileSystemType]
    device: Final[u64]
    magic: u64
    flags: u64
    block_size: u32 = 4096
    root_lock: Final[SpinLock]
    root: Guarded[Inode | None, "root_lock"] = None
    mounts: Atomic[u32]
    caches_names: bool = True
    """Whether looked-up names may stay in the dentry cache; False where files come and go by themselves (procfs)."""
    revalidates: bool = False
    """Whether `Inode.still_names` must be asked before a cached name is used."""

    def __init__(self, kind: FileSystemType, magic: u64, flags: u64) -> None:
        self.kind = kind
        self.device = u64(numbers.last.fetch_add(1) + 1)
        self.magic = magic
        self.flags = flags
        self.mounts = Atomic(0)
        self.root_lock = SpinLock("superblock")

    @noinline
    def root_inode(self) -> Inode | None:
        """Of what is mounted; None before there is one, and after the last mount."""
        with self.root_lock:
            return self.root

    @noinline
    def set_root(self, root: Inode | None) -> None:
        """Say what is mounted."""
        self._exchange_root(root)

    def _exchange_root(self, root: Inode | None) -> Inode | None:
        """Gives the one before, to be dropped after the lock."""
        with self.root_lock:
            old = self.root
            self.root = root
            return old

    def statfs(self, into: Statfs) -> None:
        """statfs(2): fill in counts; type, block size and name length are there already."""

    def sync(self) -> None:
        """Write everything dirty back."""

    def remount(self, flags: u64, data: Bytes) -> None:
        """mount(2) with MS_REMOUNT."""
        self.flags = flags

    def options(self, out: TextBuffer) -> None:
        """Append own options, each with a leading comma, as /proc/mounts shows them."""

    def shutdown(self) -> None:
        """The last mount is gone: let go of the root. Overriders call this too."""
        self.set_root(None)


@dataclass(eq=False)
class FileSystemType:
    """A kind of file system."""

    name: bytes
    mount: Callable[[bytes, u64, bytes], SuperBlock]
    needs_device: bool


TYPES: list[FileSystemType] = []
"""Filled at import, in order of import; /proc/filesystems shows it."""


def filesystem(
    name: str, *, needs_device: bool = False
) -> Callable[[Callable[[bytes, u64, bytes], SuperBlock]], Callable[[bytes, u64, bytes], SuperBlock]]:
    """Register the decorated `mount(source, flags, data)` as file system type `name`."""

    def register(mount: Callable[[bytes, u64, bytes], SuperBlock]) -> Callable[[bytes, u64, bytes], SuperBlock]:
        TYPES.append(FileSystemType(name.encode(), mount, needs_device))
        return mount

    return register


def find_type(name: Bytes) -> FileSystemType:
    """The kind called `name`. Raises OSError(ENODEV), as mount(2) does."""
    for kind in TYPES:
        if kind.name == name:
            return kind
    raise OSError(errno.ENODEV)
