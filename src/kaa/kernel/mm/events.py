# SPDX-License-Identifier: Apache-2.0
"""How often things of memory happened since boot: /proc/vmstat (proc(5)). What is rare is counted here; faults, which
are not, are counted by each processor (`PerCpuEvents`), with preemption possible between load and store: a count may be
lost, which is of no consequence.
"""

from __future__ import annotations

from kaa.lang import Atomic, u64


class Counts:
    """Events that many processors may see at once."""

    reclaimed: Atomic[u64]
    """Frames that reclaim freed."""
    scans: Atomic[u64]
    """Times that an allocation had to reclaim."""
    kills: Atomic[u64]
    """Processes that the OOM killer chose."""
    copies: Atomic[u64]
    """Pages copied because a shared one was written to."""

    def __init__(self) -> None:
        self.reclaimed = Atomic(0)
        self.scans = Atomic(0)
        self.kills = Atomic(0)
        self.copies = Atomic(0)


counts = Counts()


class PerCpuEvents:
    """One processor's."""

    faults: u64 = 0
    major_faults: u64 = 0
    frames_taken: u64 = 0
    frames_given: u64 = 0
