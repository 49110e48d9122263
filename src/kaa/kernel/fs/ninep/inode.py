# SPDX-License-Identifier: Apache-2.0
"""Files of a 9P server: what all kinds share, symbolic links, devices.

`fid` names the file on the server for as long as the inode lives; it is never opened, except for regular files of a
mount that is read-only from the start, where opening it in place saves a round trip (regular.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import MAX_FILE_SIZE
from kaa.kernel.abi.ninep import Setattr
from kaa.kernel.fs.inode import (
    SET_ACCESSED,
    SET_ACCESSED_NOW,
    SET_GID,
    SET_MODE,
    SET_MODIFIED,
    SET_MODIFIED_NOW,
    SET_UID,
    Change,
    Inode,
    apply_change,
)  # fmt: skip
from kaa.kernel.fs.ninep import operations
from kaa.kernel.fs.ninep.operations import Attributes, NewAttributes
from kaa.kernel.fs.special import open_special
from kaa.lang import Guarded, Once, Relaxed, i64, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.ninep.fids import Fid
    from kaa.kernel.fs.ninep.superblock import NinepSuperBlock
    from kaa.kernel.fs.ninep.table import InodeSlot
    from kaa.kernel.fs.path import Path

SECOND = 1_000_000_000


class NinepInode(Inode):
    """Common to all kinds."""

    mounted: Final[NinepSuperBlock]
    fid: Final[Fid]
    slot: Guarded[InodeSlot | None, "InodeTable.lock"] = None
    version: Guarded[Relaxed[u32], "lock"] = 0
    """The qid's: another one means other content."""
    server_blocks: Guarded[Relaxed[u64], "lock"] = 0

    def __init__(self, superblock: NinepSuperBlock, fid: Fid, attributes: Attributes) -> None:
        super().__init__(superblock, attributes.qid.path, attributes.mode)
        self.mounted = superblock
        self.fid = fid
        self.rdev = attributes.rdev
        self.take_attributes(attributes)
        self.born = self.changed

    def __del__(self) -> None:
        slot = self.slot
        if slot is not None:
            self.mounted.table.remove(slot)

    def take_attributes(self, attributes: Attributes) -> None:
        """Copy the server's answer into the fields. The type of a file never changes."""
        self.mode = (self.mode & 0o170000) | (attributes.mode & 0o7777)
        self.uid = attributes.uid
        self.gid = attributes.gid
        self.nlink = u32(attributes.nlink)
        self.size = min(attributes.size, u64(MAX_FILE_SIZE))
        self.server_blocks = attributes.blocks
        self.accessed = nanoseconds(attributes.accessed, attributes.accessed_ns)
        self.modified = nanoseconds(attributes.modified, attributes.modified_ns)
        self.changed = nanoseconds(attributes.changed, attributes.changed_ns)
        self.version = attributes.qid.version

    def getattr(self) -> None:
        if not self.mounted.loose:
            self.refresh()

    def refresh(self) -> None:
        """Ask the server for the attributes."""
        attributes = Attributes()
        with self.lock:
            operations.getattr_(self.mounted.client, self.fid, attributes)
            self.take_attributes(attributes)

    def setattr(self, change: Change) -> None:
        new = NewAttributes()
        new.mode = change.mode & 0o7777
        new.uid = change.uid
        new.gid = change.gid
        new.accessed = u64(change.accessed // SECOND)
        new.accessed_ns = u64(change.accessed % SECOND)
        new.modified = u64(change.modified // SECOND)
        new.modified_ns = u64(change.modified % SECOND)
        new.valid = valid_bits(change.mask)
        operations.setattr_(self.mounted.client, self.fid, new)
        apply_change(self, change)

    def blocks(self) -> u64:
        return self.server_blocks


class NinepSymlink(NinepInode):
    """A symbolic link; its target is asked for once."""

    target: Guarded[Once[bytes | None], "lock"] = None

    def readlink(self) -> bytes:
        target = self.target
        if target is not None:
            return target
        with self.lock:
            target = self.target
            if target is None:
                target = operations.readlink(self.mounted.client, self.fid)
                self.target = target
        return target


class NinepSpecial(NinepInode):
    """A device, FIFO or socket: the name is the server's, the thing behind it ours."""

    def open(self, flags: u32, path: Path) -> File:
        return open_special(self, flags, path)


def nanoseconds(seconds: u64, rest: u64) -> i64:
    """A time of the server's as we keep it; nonsense becomes the Epoch."""
    if seconds > 1 << 33 or rest >= SECOND:
        return i64(0)
    return i64(seconds * SECOND + rest)


def valid_bits(mask: u32) -> u32:
    """SET_ bits as Tsetattr's."""
    valid: u32 = 0
    if mask & SET_MODE:
        valid |= Setattr.MODE
    if mask & SET_UID:
        valid |= Setattr.UID
    if mask & SET_GID:
        valid |= Setattr.GID
    if mask & SET_ACCESSED:
        valid |= Setattr.ATIME if mask & SET_ACCESSED_NOW else Setattr.ATIME | Setattr.ATIME_SET
    if mask & SET_MODIFIED:
        valid |= Setattr.MTIME if mask & SET_MODIFIED_NOW else Setattr.MTIME | Setattr.MTIME_SET
    return valid | Setattr.CTIME
