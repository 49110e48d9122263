# SPDX-License-Identifier: Apache-2.0
"""Open directories of a 9P server.

Entries come by the bufferful; `position` is the server's cookie of the next entry. A buffer serves several calls
as long as each goes on where the one before stopped; any other position is asked for anew (rewinddir, seekdir).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import NAME_MAX, SEEK_CUR, SEEK_SET
from kaa.kernel.abi.ninep import QID_SIZE
from kaa.kernel.drivers.virtio.dma import DmaBuffer
from kaa.kernel.fs.file import SeekableFile
from kaa.kernel.fs.ninep import operations
from kaa.lang import Bytes, Guarded, i64, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.dirent import DirSink
    from kaa.kernel.fs.ninep.directory import NinepDirectory
    from kaa.kernel.fs.ninep.fids import Fid
    from kaa.kernel.fs.path import Path

BUFFER_ORDER = 2
ENTRY_HEAD = QID_SIZE + 8 + 1 + 2
"""qid, offset[8], type[1], and the name's length[2]."""
UNKNOWN = 0xFFFFFFFFFFFFFFFF


class NinepDirectoryFile(SeekableFile):
    """An open directory with its own opened fid. `position_lock` covers the buffer too."""

    node: Final[NinepDirectory]
    fid: Final[Fid]
    buffer: Guarded[DmaBuffer | None, "position_lock"] = None
    used: Guarded[usize, "position_lock"] = 0
    """Bytes of entries in the buffer."""
    at: Guarded[usize, "position_lock"] = 0
    """Where the next entry starts in it."""
    next_position: Guarded[u64, "position_lock"] = UNKNOWN
    """The position that `at` stands for."""

    end_position: Guarded[u64, "position_lock"] = UNKNOWN
    """Where the server said that there is no more."""

    def __init__(self, path: Path, flags: u32, node: NinepDirectory, fid: Fid) -> None:
        super().__init__(path, flags)
        self.node = node
        self.fid = fid

    def readdir(self, sink: DirSink) -> None:
        with self.position_lock:
            while True:
                if self.position != self.next_position or self.at == self.used:
                    if not self.fetch():
                        return
                if not self.emit_one(sink):
                    return

    def fetch(self) -> bool:
        """Ask for entries from `position` on; False at the end."""
        if self.position == self.end_position:
            return False
        buffer = self.buffer
        if buffer is None:
            buffer = DmaBuffer(BUFFER_ORDER)
            self.buffer = buffer
        client = self.node.mounted.client
        limit = min(u32(buffer.size()), client.data_limit())
        self.next_position = UNKNOWN
        self.used = usize(operations.read_directory(client, self.fid, self.position, buffer.physical(), limit))
        self.at = 0
        self.next_position = self.position
        if self.used == 0:
            self.end_position = self.position
        return self.used > 0

    def emit_one(self, sink: DirSink) -> bool:
        """Give the next entry to the sink; False when it had no room. Raises OSError(EIO) for a malformed one."""
        buffer = self.buffer
        assert buffer is not None
        data = buffer.bytes()
        start = self.at
        if start + ENTRY_HEAD > self.used:
            raise OSError(errno.EIO)
        length = usize(little(data, start + QID_SIZE + 9, 2))
        if length == 0 or length > NAME_MAX or start + ENTRY_HEAD + length > self.used:
            raise OSError(errno.EIO)
        following = little(data, start + QID_SIZE, 8)
        number = little(data, start + 5, 8)
        kind = u32(data[start + QID_SIZE + 8])
        name = data[start + ENTRY_HEAD : start + ENTRY_HEAD + length]
        if not sink.emit(name, number, kind, following):
            return False
        self.at = start + ENTRY_HEAD + length
        self.position = following
        self.next_position = following
        return True

    def seek(self, offset: i64, whence: u32) -> u64:
        with self.position_lock:
            if whence == SEEK_CUR and offset == 0:
                return self.position
            if whence != SEEK_SET or offset < 0:
                raise OSError(errno.EINVAL)
            self.position = u64(offset)
            self.end_position = UNKNOWN
            return self.position

    def fsync(self) -> None:
        """Nothing is kept back here."""


def little(data: Bytes, start: usize, size: usize) -> u64:
    """A little-endian number of `size` bytes."""
    value: u64 = 0
    for index in range(size):
        value |= u64(data[start + index]) << (8 * u64(index))
    return value
