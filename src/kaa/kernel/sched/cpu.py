# SPDX-License-Identifier: Apache-2.0
"""What the kernel keeps for each processor: one `Cpu` per processor, reached by `machine.percpu.here()`.

The boot processor's is in the image; the others' are made before they start (`prepare`) and are for ever, so that a
reference to one is never dropped. `all.table` is written before the processor is started and never changed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.retired import Retired
from kaa.kernel.mm.events import PerCpuEvents
from kaa.kernel.mm.gather import Gather
from kaa.kernel.mm.per_cpu import ObjectLists, PageLists, StackList
from kaa.kernel.sched.run_queue import RunQueue
from kaa.kernel.time.timer_queue import TimerQueue
from kaa.lang import Array, Atomic, borrowed, u32, u64

MAX_CPUS: Final = 64
"""A set of processors is one u64."""


class Cpu:
    """One processor."""

    number: Final[u32]
    run_queue: Final[RunQueue]
    timers: Final[TimerQueue]
    gather: Final[Gather]
    events: Final[PerCpuEvents]
    pages: Final[PageLists]
    objects: Final[ObjectLists]
    stacks: Final[StackList]
    retired: Final[Retired]

    def __init__(self, number: u32) -> None:
        self.number = number
        self.gather = Gather()
        self.events = PerCpuEvents()
        self.pages = PageLists()
        self.objects = ObjectLists()
        self.stacks = StackList()
        self.retired = Retired()
        self.timers = TimerQueue()
        self.run_queue = RunQueue(number, self.timers)


class Cpus:
    """All processors that were prepared, by number."""

    table: Array[Cpu | None, 64]
    active: Atomic[u64]
    """Those that take tasks: they have reached their idle loop once. The boot processor always does."""
    idle: Atomic[u64]
    """Those with nothing to do. A hint: who places a task on one takes it out, the idle loop puts it back in."""

    def __init__(self) -> None:
        self.table = Array[Cpu | None, 64]()
        self.active = Atomic(1)
        self.idle = Atomic(0)


boot = Cpu(u32(0))
all = Cpus()
all.table[0] = boot


@borrowed
def get(number: u32) -> Cpu | None:
    """The processor of that number; None if there is none (or beyond MAX_CPUS)."""
    return all.table[number] if number < MAX_CPUS else None


def prepare(number: u32) -> Cpu:
    """Make the Cpu of a processor that is about to start. Raises MemoryError: it stays off then."""
    from kaa.kernel.sched import seeded

    cpu = Cpu(number)
    seeded.prepare(cpu.run_queue)
    all.table[number] = cpu
    return cpu


def every() -> Iterator[Cpu]:
    """All processors that were prepared. Who reads what is `PerCpu` has preemption off."""
    for number in range(machine.percpu.prepared()):
        found = all.table[number]
        if found is not None:
            yield found
