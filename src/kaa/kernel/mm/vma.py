# SPDX-License-Identifier: Apache-2.0
"""A virtual memory area: a range of an address space with one kind of contents and one set of rights.

`cache` is where its pages come from: a file's page cache, or one of its own for shared anonymous memory; None means
private anonymous memory. `special` is the first of some frames in a row that the kernel lends out (the vDSO). Pages
of a private area that were written to are the area's own copies; ANONYMOUS_PAGES says that there may be some.

Fields change under the address space's lock (writing); the links among the areas of one cache under
`file_mappings.lock`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.mman import Prot
from kaa.kernel.mm.links import AreaLinks
from kaa.lang import inline, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.mm.page_cache import PageCache

# Vma.flags. The lowest three are Prot's.
READ: Final = 1
WRITE: Final = 2
EXEC: Final = 4
RIGHTS: Final = 7
SHARED: Final = 0x8
MAY_READ: Final = 0x10
MAY_WRITE: Final = 0x20
MAY_EXEC: Final = 0x40
"""What mprotect may add: MAY_x is x shifted by MAY_SHIFT."""
MAY_SHIFT: Final = 4
GROWS_DOWN: Final = 0x100
NO_RESERVE: Final = 0x200
LOCKED: Final = 0x400
NO_FORK: Final = 0x800
NO_DUMP: Final = 0x1000
WIPE_ON_FORK: Final = 0x2000
SPECIAL: Final = 0x4000
"""Frames of the kernel's: neither grown, moved, locked nor merged."""
ACCOUNTED: Final = 0x8000
"""Counted as committed memory."""
ANONYMOUS_PAGES: Final = 0x1_0000
"""There may be private copies in it. Set by faults; never cleared."""
RANDOM: Final = 0x2_0000
SEQUENTIAL: Final = 0x4_0000
FOR_STACK: Final = 0x8_0000
IDENTITY: Final = 0xFFFF_FFFF & ~ANONYMOUS_PAGES
"""Flags in which areas must agree to be merged."""


class VmFlags:
    """The names above, for those who import the class: docs/architecture.md."""

    READ = READ
    WRITE = WRITE
    EXEC = EXEC
    SHARED = SHARED
    GROWS_DOWN = GROWS_DOWN


class Vma(AreaLinks):
    """One area: [start, end), whole pages."""

    flags: u32
    offset: u64
    """Byte offset in the file (or shared memory) that `start` shows."""
    file: File | None
    cache: PageCache | None = None
    special: u64 = 0

    def __init__(self, start: u64, end: u64, flags: u32, file: File | None, offset: u64) -> None:
        super().__init__(start, end)
        self.flags = flags
        self.file = file
        self.offset = offset

    @inline
    def pages(self) -> u64:
        """Its size."""
        return (self.end - self.start) >> 12

    @inline
    def index_of(self, address: u64) -> u64:
        """The page of the file that an address in the area shows."""
        return (address - self.start + self.offset) >> 12

    @inline
    def is_writable(self) -> bool:
        """Whether the program may write to it."""
        return self.flags & WRITE != 0

    @inline
    def is_shared(self) -> bool:
        """Whether writes go to the file or to other processes."""
        return self.flags & SHARED != 0

    def protection(self) -> Prot:
        """As mmap(2)'s prot."""
        return Prot(self.flags & RIGHTS)

    def continues(self, before: Vma) -> bool:
        """Whether it could be one area with `before`, which ends where this starts."""
        if before.end != self.start or (before.flags ^ self.flags) & IDENTITY != 0 or self.flags & SPECIAL != 0:
            return False
        if before.cache is not self.cache or before.file is not self.file:
            return False
        return self.cache is None or before.offset + (before.end - before.start) == self.offset

    def part(self, start: u64, end: u64) -> Vma:
        """A new area with the same contents and rights for a range within this one. Raises MemoryError."""
        twin = Vma(start, end, self.flags, self.file, self.offset + (start - self.start))
        twin.cache = self.cache
        twin.special = self.special
        if self.special != 0:
            twin.special = self.special + ((start - self.start) >> 12)
            twin.offset = 0
        return twin
