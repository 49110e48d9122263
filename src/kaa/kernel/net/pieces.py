# SPDX-License-Identifier: Apache-2.0
"""The user memory of one send or receive: one buffer, or the buffers of an iovec that is read as the copy goes."""

from __future__ import annotations

import errno

from kaa.kernel.abi.fcntl import MAX_FILE_SIZE, MAX_RW_COUNT
from kaa.kernel.abi.socket import UIO_MAXIOV
from kaa.kernel.abi.uio import Iovec
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.lang import ZERO, Bytes, Slice, inline, struct, u8, u64, usize


@struct
class Pieces:
    """A cursor. `total` bytes are left, whatever the caller's other threads write into the iovec meanwhile."""

    total: usize = 0
    vector: u64 = 0
    here: UserBuf = ZERO

    @inline
    def copy_in(self, into: Slice[u8]) -> None:
        """User to kernel, `len(into)` bytes of those left. Raises OSError(EFAULT)."""
        if self.here.remaining() >= len(into):
            self.here.copy_in(into)
        else:
            self._gather(into)
        self.total -= len(into)

    @inline
    def copy_out(self, data: Bytes) -> None:
        """Kernel to user. Raises OSError(EFAULT)."""
        if self.here.remaining() >= len(data):
            self.here.copy_out(data)
        else:
            self._scatter(data)
        self.total -= len(data)

    def _gather(self, into: Slice[u8]) -> None:
        done: usize = usize(0)
        while done < len(into):
            take = min(self._refill(), len(into) - done)
            self.here.copy_in(into[done : done + take])
            done += take

    def _scatter(self, data: Bytes) -> None:
        done: usize = usize(0)
        while done < len(data):
            take = min(self._refill(), len(data) - done)
            self.here.copy_out(data[done : done + take])
            done += take

    def _refill(self) -> usize:
        """Bytes in the piece in hand, which is the next one if that was used up. A vector that someone shortened
        meanwhile faults."""
        tries = 0
        while self.here.remaining() == 0:
            if self.vector == 0 or tries > UIO_MAXIOV:
                raise OSError(errno.EFAULT)
            entry = UserPtr[Iovec](self.vector).read()
            self.vector += 16
            self.here.address = entry.iov_base
            self.here.size = min(entry.iov_len, u64(MAX_RW_COUNT))
            tries += 1
        return self.here.remaining()


@inline
def single(buf: UserBuf) -> Pieces:
    """One buffer."""
    return Pieces(buf.size, 0, buf)


def vectored(vector: UserPtr[Iovec], count: usize) -> Pieces:
    """An iovec. Raises OSError(EMSGSIZE) for too many, OSError(EINVAL), OSError(EFAULT)."""
    if count > UIO_MAXIOV:
        raise OSError(errno.EMSGSIZE)
    if count == 1:
        entry = vector.read()
        if entry.iov_len > u64(MAX_FILE_SIZE):
            raise OSError(errno.EINVAL)
        length = min(entry.iov_len, u64(MAX_RW_COUNT))
        return Pieces(length, 0, UserBuf(entry.iov_base, length))
    total: u64 = u64(0)
    for index in range(count):
        length = vector.offset(index).read().iov_len
        if length > u64(MAX_FILE_SIZE) or total + length > u64(MAX_FILE_SIZE):
            raise OSError(errno.EINVAL)
        total += length
    return Pieces(min(total, u64(MAX_RW_COUNT)), vector.address, UserBuf())
