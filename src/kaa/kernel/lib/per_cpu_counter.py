# SPDX-License-Identifier: Apache-2.0
"""PerCpuCounter: a number that all processors change often and that is read seldom.

Each processor has a part of its own; when a part grows to BATCH, it goes into the common number. So adding touches no
memory of other processors, nearly always, and `estimate` is off by less than BATCH for each processor. Parts are
changed atomically: neither an interrupt nor a move to another processor in between loses anything.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.arch import machine
from kaa.lang import Array, Atomic, i64

CPUS: Final = 64
BATCH: Final = 64


class PerCpuCounter:
    """A signed number, 0 at first. It takes half a KiB: for totals of the whole system."""

    total: Atomic[i64]
    parts: Array[Atomic[i64], 64]

    def __init__(self) -> None:
        self.total = Atomic(0)
        self.parts = Array[Atomic[i64], 64]()

    def add(self, amount: i64) -> None:
        """From anywhere. The amount is small beside 2**63."""
        cpu = machine.percpu.cpu_id()
        part = self.parts[cpu].fetch_add(amount) + amount
        if part >= BATCH or part <= -BATCH:
            self.parts[cpu].fetch_sub(part)
            self.total.fetch_add(part)

    def estimate(self) -> i64:
        """About how much: off by less than BATCH times the number of processors. Cheap."""
        return self.total.load_relaxed()

    def sum(self) -> i64:
        """How much: exact if nobody adds meanwhile."""
        total = self.total.load()
        for cpu in range(CPUS):
            total += self.parts[cpu].load_relaxed()
        return total
