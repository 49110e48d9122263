# SPDX-License-Identifier: Apache-2.0
"""Where the entries of a directory go when it is read: getdents(2), getdents64(2), or the kernel itself.

`emit` is called once per entry, in order; False says that this one did not fit and nothing more will.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.dirent import DIRENT64_HEADER, DIRENT_HEADER, Dirent, Dirent64
from kaa.lang import Array, Bytes, as_bytes, copy, i64, u8, u16, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.mm.user import UserBuf

STAGE = 3072


class DirSink:
    """The interface: an implementation decides what becomes of the entries."""

    def emit(self, name: Bytes, number: u64, kind: u32, following: u64) -> bool:
        """One entry: name, inode number, DT_ kind, and the position of the one after it."""
        return False


class NameSink(DirSink):
    """Collects names for the kernel's own use; "." and ".." left out."""

    names: list[bytes]

    def __init__(self) -> None:
        self.names = []

    def emit(self, name: Bytes, number: u64, kind: u32, following: u64) -> bool:
        """Keep it."""
        if name != b"." and name != b"..":
            self.names.append(bytes(name))
        return True


class CountSink(DirSink):
    """Counts entries besides "." and "..": is a directory empty?"""

    count: u64

    def __init__(self) -> None:
        self.count = 0

    def emit(self, name: Bytes, number: u64, kind: u32, following: u64) -> bool:
        """Count it."""
        if name != b"." and name != b"..":
            self.count += 1
        return True


class GetdentsSink(DirSink):
    """Lays entries out as getdents64 (or the older getdents) does, in a stage that is copied out when full."""

    stage: Array[u8, STAGE]
    used: usize
    target: UserBuf
    written: usize
    old_layout: bool
    refused: bool
    """An entry did not fit: EINVAL if it was the first."""

    def __init__(self, target: UserBuf, old_layout: bool) -> None:
        self.stage = Array[u8, STAGE]()
        self.used = 0
        self.target = copy(target)
        self.written = 0
        self.old_layout = old_layout
        self.refused = False

    def emit(self, name: Bytes, number: u64, kind: u32, following: u64) -> bool:
        """Append one record, if the caller's buffer has room for it."""
        header = usize(DIRENT_HEADER + 1 if self.old_layout else DIRENT64_HEADER)
        length = (header + len(name) + 1 + 7) & ~usize(7)
        if length > self.target.remaining() - self.used:
            self.refused = True
            return False
        if self.used + length > STAGE:
            self.flush()
        at = self.used
        if self.old_layout:
            self._old(at, length, name, number, kind, following)
        else:
            record = Dirent64(number, i64(following), u16(length), u8(kind))
            self.stage[at : at + DIRENT64_HEADER].copy_from(as_bytes(record))
            self._name(at + DIRENT64_HEADER, name, at + length)
        self.used = at + length
        return True

    def _name(self, at: usize, name: Bytes, end: usize) -> None:
        after = at + len(name)
        self.stage[at:after].copy_from(name)
        while after < end:
            self.stage[after] = 0
            after += 1

    def _old(self, at: usize, length: usize, name: Bytes, number: u64, kind: u32, following: u64) -> None:
        record = Dirent(number, following, u16(length))
        self.stage[at : at + DIRENT_HEADER].copy_from(as_bytes(record))
        self._name(at + DIRENT_HEADER, name, at + length)
        self.stage[at + length - 1] = u8(kind)

    def flush(self) -> None:
        """Hand the staged records to the caller. Raises OSError(EFAULT)."""
        if self.used > 0:
            self.target.copy_out(self.stage[0 : self.used])
            self.written += self.used
            self.used = 0

    def result(self) -> usize:
        """What the call returns. Raises OSError(EINVAL) when not even one entry fitted."""
        self.flush()
        if self.written == 0 and self.refused:
            raise OSError(errno.EINVAL)
        return self.written
