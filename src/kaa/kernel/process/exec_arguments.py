# SPDX-License-Identifier: Apache-2.0
"""The strings of execve(2) on their way from the old program's memory to the new one's stack.

They are gathered in the order in which they will lie on the stack, in page-sized pieces of kernel memory, and counted
against the limits as they come. The user copy writes straight into the pieces.
"""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.resource import Resource
from kaa.kernel.mm.user import UserBuf, UserPtr, UserString
from kaa.kernel.process import limits
from kaa.lang import Array, Bytes, u8, u32, u64, usize

PIECE: Final = 4000
LONGEST_STRING: Final = 131072
"""execve(2): MAX_ARG_STRLEN."""
SMALLEST_LIMIT: Final = 131072
LARGEST_LIMIT: Final = 6 << 20
POINTER: Final = 8


class Piece:
    """A few thousand bytes of strings."""

    data: Array[u8, 4000]

    def __init__(self) -> None:
        self.data = Array[u8, 4000]()


class Arguments:
    """argv and envp, or kernel-made ones."""

    pieces: list[Piece]
    # Offset of each string in the whole; argv's first, then envp's, then the program's file name.
    starts: list[u32]
    length: usize
    argument_count: u32
    environment_count: u32
    limit: usize

    def __init__(self) -> None:
        self.pieces = []
        self.starts = []
        self.length = 0
        self.argument_count = 0
        self.environment_count = 0
        quarter = limits.limit(u32(Resource.RLIMIT_STACK)) // 4
        self.limit = usize(max(min(quarter, LARGEST_LIMIT), SMALLEST_LIMIT))

    def add(self, text: Bytes) -> None:
        """Append a string of the kernel's. Raises OSError(E2BIG), MemoryError."""
        self._begin()
        at: usize = 0
        while at < len(text):
            piece = self._room()
            used = self.length % PIECE
            n = min(PIECE - used, usize(len(text)) - at)
            piece.data[used : used + n].copy_from(text[at : at + n])
            self._grow(n)
            at += n
        self._end()

    def add_user(self, address: u64) -> None:
        """Append the caller's string at `address`. Raises OSError(EFAULT, E2BIG), MemoryError."""
        self._begin()
        start = self.length
        while True:
            piece = self._room()
            used = self.length % PIECE
            room = PIECE - used
            n = UserString(address).part_into(self.length - start, piece.data[used:PIECE])
            self._grow(n)
            if self.length - start >= LONGEST_STRING:
                raise OSError(errno.E2BIG)
            if n < room:
                self._end()
                return

    def _begin(self) -> None:
        self.starts.append(u32(self.length))
        if self.length + len(self.starts) * POINTER > self.limit:
            raise OSError(errno.E2BIG)

    def _room(self) -> Piece:
        """The piece with room for one byte more, at least."""
        index = self.length // PIECE
        if index == len(self.pieces):
            self.pieces.append(Piece())
        return self.pieces[index]

    def _grow(self, n: usize) -> None:
        self.length += n
        if self.length > self.limit:
            raise OSError(errno.E2BIG)

    def _end(self) -> None:
        """The NUL: pieces may hold remains of longer attempts."""
        piece = self._room()
        piece.data[self.length % PIECE] = 0
        self._grow(1)

    def add_vector(self, vector: u64) -> u32:
        """Append every string of a NULL-ended array of pointers at `vector` (0: none); gives how many."""
        count: u32 = 0
        if vector == 0:
            return count
        pointers = UserPtr[u64](vector)
        while True:
            address = pointers.offset(u64(count)).read()
            if address == 0:
                return count
            self.add_user(address)
            count += 1

    def copy_out(self, address: u64) -> None:
        """Write all strings to user memory. Raises OSError(EFAULT)."""
        buf = UserBuf(address, self.length)
        for piece in self.pieces:
            n = min(buf.remaining(), PIECE)
            buf.copy_out(piece.data[0:n])

    def file_name_start(self) -> u32:
        """Where the last string, the file name, starts."""
        return self.starts[len(self.starts) - 1]
