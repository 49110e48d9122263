# SPDX-License-Identifier: Apache-2.0
"""How often things of memory happened since boot: /proc/vmstat (proc(5)). What is rare is counted here; faults, which
are not, are counted by each processor (`PerCpuEvents`), with preemption possible between load and store: a count may be
lost, which is of no consequence.
"""

from __future__ import annotations

from kaa.lang import Atomic, inline, u64


class Counts:
    """Events that many processors may see at once."""

    reclaimed: Atomic[u64]
    """Frames that reclaim freed."""
    stalls: Atomic[u64]
    """Times that an allocation had to make memory first."""
    kills: Atomic[u64]
    """Processes that the OOM killer chose."""

    def __init__(self) -> None:
        self.reclaimed = Atomic(0)
        self.stalls = Atomic(0)
        self.kills = Atomic(0)


counts = Counts()


class PerCpuEvents:
    """One processor's."""

    faults: Atomic[u64]
    """Page faults of programs and of copies for them."""
    reads: Atomic[u64]
    """Pages that were read from where their files are."""

    def __init__(self) -> None:
        self.faults = Atomic(0)
        self.reads = Atomic(0)

    @inline
    def note_fault(self) -> None:
        """A page fault."""
        self.faults.store_relaxed(self.faults.load_relaxed() + 1)

    def note_read(self) -> None:
        """A page was read."""
        self.reads.store_relaxed(self.reads.load_relaxed() + 1)
