# SPDX-License-Identifier: Apache-2.0
"""A virtual memory area: a range of an address space with one kind of contents and one set of rights.

`cache` is where its pages come from: a file's page cache, or one of its own for shared anonymous memory; None means
private anonymous memory. `special` is the first of some frames in a row that the kernel lends out (the vDSO). Pages
of a private area that were written to are the area's own copies; `has_copies` says that there may be some.

Fields change under the address space's lock (writing), those of an area with a cache also under the cache's
`areas_lock`, which guards the links among the areas of one cache. Faults, which only read-lock the address space, set
`has_copies`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.mman import Prot
from kaa.kernel.mm.links import AreaLinks
from kaa.lang import Atomic, Guarded, Relaxed, inline, u32, u64

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
RANDOM: Final = 0x2_0000
SEQUENTIAL: Final = 0x4_0000
FOR_STACK: Final = 0x8_0000


class VmFlags:
    """The names above, for those who import the class: docs/architecture.md."""

    READ = READ
    WRITE = WRITE
    EXEC = EXEC
    SHARED = SHARED
    GROWS_DOWN = GROWS_DOWN


class Vma(AreaLinks):
    """One area: [start, end), whole pages."""

    flags: Guarded[Relaxed[u32], "AddressSpace.lock"]
    offset: u64
    """Byte offset in the file (or shared memory) that `start` shows."""
    file: File | None
    keeps: PageCache | None = None
    """The cache of shared memory that has no file, which lives as long as its areas."""
    special: u64 = 0
    has_copies: Atomic[bool]
    """There may be private pages in it. Never cleared."""

    def __init__(self, start: u64, end: u64, flags: u32, file: File | None, offset: u64) -> None:
        super().__init__(start, end)
        self.flags = flags
        self.file = file
        self.offset = offset
        self.has_copies = Atomic(False)

    @inline
    def pages(self) -> u64:
        """Its size."""
        return (self.end - self.start) >> 12

    @inline
    def index_of(self, address: u64) -> u64:
        """The page of the file that an address in the area shows."""
        return (address - self.start + self.offset) >> 12

    @inline
    @inline
    def is_shared(self) -> bool:
        """Whether writes go to the file or to other processes."""
        return self.flags & SHARED != 0

    @inline
    def may(self, rights: u32) -> bool:
        """Whether mprotect(2) may give all of these rights."""
        return rights & ~(self.flags >> MAY_SHIFT) == 0

    @inline
    def note_copy(self) -> None:
        """A private page comes: fork will have to copy entries."""
        if not self.has_copies.load_relaxed():
            self.has_copies.store_relaxed(True)

    def show(self, cache: PageCache) -> None:
        """Show pages of a cache that the area's file keeps."""
        self.shown = cache

    def show_own(self, cache: PageCache) -> None:
        """Show pages of a cache that is no file's."""
        self.keeps = cache
        self.shown = cache

    def show_same(self, other: Vma) -> None:
        """Show what another area shows, which has the same file."""
        self.shown = other.shown
        self.keeps = other.keeps

    def protection(self) -> Prot:
        """As mmap(2)'s prot."""
        return Prot(self.flags & RIGHTS)

    def continues(self, before: Vma) -> bool:
        """Whether it could be one area with `before`, which ends where this starts."""
        if before.end != self.start or before.flags != self.flags or self.flags & SPECIAL != 0:
            return False
        if before.shown is not self.shown or before.file is not self.file:
            return False
        return self.shown is None or before.offset + (before.end - before.start) == self.offset

    def part(self, start: u64, end: u64) -> Vma:
        """A new area with the same contents and rights for a range within this one. Raises MemoryError."""
        twin = Vma(start, end, self.flags, self.file, self.offset + (start - self.start))
        twin.show_same(self)
        twin.special = self.special
        twin.has_copies.store_relaxed(self.has_copies.load_relaxed())
        if self.special != 0:
            twin.special = self.special + ((start - self.start) >> 12)
            twin.offset = 0
        return twin
