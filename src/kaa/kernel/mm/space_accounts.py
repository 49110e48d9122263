# SPDX-License-Identifier: Apache-2.0
"""How much an address space has: areas by kind, promises, resident pages. Part of AddressSpace.

Each count is one word. Those of areas are changed under the address space's `lock` (writing), those of resident pages
under its `table_lock`; so a change is a load and a store, no locked instruction. Anyone may read them without a lock:
/proc, limits, the choice of a victim.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.mm import overcommit
from kaa.kernel.mm.vma import ACCOUNTED, EXEC, GROWS_DOWN, LOCKED, SHARED, WRITE
from kaa.lang import Atomic, LateEnd, inline, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.vma import Vma


class Accounts(LateEnd):
    """See the module."""

    areas_total: Atomic[u64]
    areas_data: Atomic[u64]
    areas_exec: Atomic[u64]
    areas_stack: Atomic[u64]
    areas_locked: Atomic[u64]
    areas_committed: Atomic[u64]
    areas_peak: Atomic[u64]
    resident_private: Atomic[u64]
    resident_cached: Atomic[u64]
    resident_peak: Atomic[u64]

    def __init__(self) -> None:
        super().__init__()
        self.areas_total = Atomic(0)
        self.areas_data = Atomic(0)
        self.areas_exec = Atomic(0)
        self.areas_stack = Atomic(0)
        self.areas_locked = Atomic(0)
        self.areas_committed = Atomic(0)
        self.areas_peak = Atomic(0)
        self.resident_private = Atomic(0)
        self.resident_cached = Atomic(0)
        self.resident_peak = Atomic(0)

    # -- areas; under `lock`, writing

    def count(self, vma: Vma, number: u64) -> None:
        """An area has come, or grown, by so many pages."""
        total = self.areas_total.load_relaxed() + number
        self.areas_total.store_relaxed(total)
        if total > self.areas_peak.load_relaxed():
            self.areas_peak.store_relaxed(total)
        flags = vma.flags
        if flags & GROWS_DOWN != 0:
            self.areas_stack.store_relaxed(self.areas_stack.load_relaxed() + number)
        elif flags & (WRITE | SHARED) == WRITE:
            self.areas_data.store_relaxed(self.areas_data.load_relaxed() + number)
        elif flags & (EXEC | WRITE) == EXEC:
            self.areas_exec.store_relaxed(self.areas_exec.load_relaxed() + number)
        if flags & LOCKED != 0:
            self.areas_locked.store_relaxed(self.areas_locked.load_relaxed() + number)
        if flags & ACCOUNTED != 0:
            self.areas_committed.store_relaxed(self.areas_committed.load_relaxed() + number)
            overcommit.commit(number)

    def uncount(self, vma: Vma, number: u64) -> None:
        """An area has gone, or shrunk, by so many pages, or its flags are about to change."""
        self.areas_total.store_relaxed(self.areas_total.load_relaxed() - number)
        flags = vma.flags
        if flags & GROWS_DOWN != 0:
            self.areas_stack.store_relaxed(self.areas_stack.load_relaxed() - number)
        elif flags & (WRITE | SHARED) == WRITE:
            self.areas_data.store_relaxed(self.areas_data.load_relaxed() - number)
        elif flags & (EXEC | WRITE) == EXEC:
            self.areas_exec.store_relaxed(self.areas_exec.load_relaxed() - number)
        if flags & LOCKED != 0:
            self.areas_locked.store_relaxed(self.areas_locked.load_relaxed() - number)
        if flags & ACCOUNTED != 0:
            self.areas_committed.store_relaxed(self.areas_committed.load_relaxed() - number)
            overcommit.uncommit(number)

    # -- resident pages; under `table_lock`

    @inline
    def gain_private(self) -> None:
        """An entry for a private page."""
        self.resident_private.store_relaxed(self.resident_private.load_relaxed() + 1)

    @inline
    def gain_cached(self) -> None:
        """An entry for a page of a file."""
        self.resident_cached.store_relaxed(self.resident_cached.load_relaxed() + 1)

    @inline
    def lose_pages(self, private: u64, cached: u64) -> None:
        """So many entries went. The peak is noted when pages go."""
        some = self.resident_private.load_relaxed()
        others = self.resident_cached.load_relaxed()
        if some + others > self.resident_peak.load_relaxed():
            self.resident_peak.store_relaxed(some + others)
        self.resident_private.store_relaxed(some - private)
        self.resident_cached.store_relaxed(others - cached)

    @inline
    def gain_pages(self, private: u64, cached: u64) -> None:
        """So many entries came (fork)."""
        self.resident_private.store_relaxed(self.resident_private.load_relaxed() + private)
        self.resident_cached.store_relaxed(self.resident_cached.load_relaxed() + cached)

    # -- reading, without a lock

    @property
    def total_pages(self) -> u64:
        """VmSize, in pages."""
        return self.areas_total.load_relaxed()

    @property
    def data_pages(self) -> u64:
        """VmData."""
        return self.areas_data.load_relaxed()

    @property
    def exec_pages(self) -> u64:
        """VmExe."""
        return self.areas_exec.load_relaxed()

    @property
    def stack_pages(self) -> u64:
        """VmStk."""
        return self.areas_stack.load_relaxed()

    @property
    def locked_pages(self) -> u64:
        """VmLck."""
        return self.areas_locked.load_relaxed()

    @property
    def committed_pages(self) -> u64:
        """What of Committed_AS is this one's."""
        return self.areas_committed.load_relaxed()

    @property
    def peak_pages(self) -> u64:
        """VmPeak."""
        return self.areas_peak.load_relaxed()

    @property
    def anonymous_pages(self) -> u64:
        """RssAnon."""
        return self.resident_private.load_relaxed()

    @property
    def file_pages(self) -> u64:
        """RssFile."""
        return self.resident_cached.load_relaxed()

    @property
    def peak_resident(self) -> u64:
        """The highest VmRSS that was noted."""
        return self.resident_peak.load_relaxed()

    def resident_pages(self) -> u64:
        """VmRSS, in pages. Two words that change together may be seen apart: never less than nothing."""
        return self.anonymous_pages + self.file_pages

    def peak_resident_pages(self) -> u64:
        """VmHWM, in pages."""
        return max(self.peak_resident, self.resident_pages())
