# SPDX-License-Identifier: Apache-2.0
"""What the kernel keeps for each processor: one `Cpu` per processor, reached by `machine.percpu.here()`.

The boot processor's is in the image; the others' are made before they start (`prepare`) and are for ever, so that a
reference to one is never dropped. `all.table` is written before the processor is started and never changed again.
"""

from __future__ import annotations

from typing import Final

from kaa.lang import Array, borrowed, u32

MAX_CPUS: Final = 64
"""A set of processors is one u64."""


class Cpu:
    """One processor."""

    number: Final[u32]

    def __init__(self, number: u32) -> None:
        self.number = number


class Cpus:
    """All processors that were prepared, by number."""

    table: Array[Cpu | None, 64]

    def __init__(self) -> None:
        self.table = Array[Cpu | None, 64]()


boot = Cpu(u32(0))
all = Cpus()
all.table[0] = boot


@borrowed
def get(number: u32) -> Cpu | None:
    """The processor of that number; None if there is none (or beyond MAX_CPUS)."""
    return all.table[number] if number < MAX_CPUS else None


def prepare(number: u32) -> Cpu:
    """Make the Cpu of a processor that is about to start. Raises MemoryError: it stays off then."""
    cpu = Cpu(number)
    all.table[number] = cpu
    return cpu
