# SPDX-License-Identifier: Apache-2.0
"""Counts per class of locks, in a kernel built with KAA_LOCK_STATS: what locking/record.py calls then.

A class is a name that locks were made with. Each processor counts in cells of its own, atomically, since a task may be
moved in the middle. Times are in cycles. The holding time of locks that several hold at once is not measured.

Nothing here takes a lock that is counted or needs memory: names are kept in a fixed table, under a word of its own.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.arch import machine
from kaa.lang import Array, Atomic, Bytes, Slice, u8, u32, u64, usize
from kaa.lang.builtins import text

CPUS: Final = 64
CLASSES: Final = 128
NAME: Final = 32
CELLS: Final = 8
ACQUIRED, CONTENDED, WAITED, LONGEST_WAIT, HELD, LONGEST_HOLD = range(6)
"""The cells of a class."""


class LockRecord:
    """What a lock remembers of itself."""

    lock_class: u32 = 0
    taken_at: u64 = 0
    """When its holder took it; the holder's."""


class Classes:
    """Names, and counts by processor and class. Class 0 has no name: what was taken before it was made."""

    names: Array[u8, 4096]
    lengths: Array[u32, 128]
    count: u32
    busy: Atomic[u32]
    name: Array[u8, 32]
    """The one that is looked for, under `busy`."""
    length: u32
    cells: Array[Atomic[u64], 65536]

    def __init__(self) -> None:
        self.names = Array[u8, 4096]()
        self.lengths = Array[u32, 128]()
        self.count = 1
        self.busy = Atomic(0)
        self.name = Array[u8, 32]()
        self.length = 0
        self.cells = Array[Atomic[u64], 65536]()

    def name_of(self, number: u32) -> Slice[u8]:
        """What a class is called."""
        start = number * NAME
        return self.names[start : start + self.lengths[number]]

    def find(self) -> u32:
        """The class of `name`, a new one if there is room; else 0."""
        wanted = self.name[0 : self.length]
        for number in range(1, self.count):
            if self.lengths[number] == self.length and _equal(self.name_of(u32(number)), wanted):
                return u32(number)
        if self.count == CLASSES:
            return u32(0)
        number = self.count
        self.names[number * NAME : number * NAME + self.length].copy_from(wanted)
        self.lengths[number] = self.length
        self.count = number + 1
        return number

    def total(self, number: u32, cell: u32) -> u64:
        """A sum over all processors, or their largest."""
        result: u64 = u64(0)
        for cpu in range(CPUS):
            part = self.cells[(u32(cpu) * CLASSES + number) * CELLS + cell].load_relaxed()
            if cell == LONGEST_WAIT or cell == LONGEST_HOLD:
                result = max(result, part)
            else:
                result += part
        return result


def _equal(a: Slice[u8], b: Slice[u8]) -> bool:
    for index in range(len(a)):
        if a[index] != b[index]:
            return False
    return True


classes = Classes()


def named_at_import(lock: LockRecord, name: str) -> None:
    """As `named`, in the Python that runs while the kernel's modules are imported and the machine is not there yet:
    trace/proc.py, one of the last, puts `named` in its place."""
    kept = name.encode()[:NAME]
    for index, byte in enumerate(kept):
        classes.name[index] = byte
    classes.length = u32(len(kept))
    lock.lock_class = classes.find()


def named(lock: LockRecord, name: str) -> None:
    """A lock was made: find its class."""
    flags = machine.irq.save()
    while not classes.busy.compare_exchange(0, 1):
        machine.irq.relax()
    classes.length = 0
    text.render(name, _keep)
    lock.lock_class = classes.find()
    classes.busy.store_release(0)
    machine.irq.restore(flags)


def _keep(piece: Bytes) -> None:
    for byte in piece:
        if classes.length < NAME:
            classes.name[classes.length] = byte
            classes.length += 1


def _base(lock: LockRecord) -> usize:
    return (usize(machine.percpu.cpu_id()) * CLASSES + lock.lock_class) * CELLS


def _raise_to(cell: usize, value: u64) -> None:
    while True:
        seen = classes.cells[cell].load_relaxed()
        if seen >= value or classes.cells[cell].compare_exchange(seen, value):
            return


def begin_wait() -> u64:
    """Somebody found a lock taken: when."""
    return machine.clock.cycles()


def end_wait(lock: LockRecord, began: u64) -> None:
    """Somebody who had to wait has the lock."""
    now = machine.clock.cycles()
    waited = now - began if now > began else u64(0)
    base = _base(lock)
    classes.cells[base + CONTENDED].fetch_add(1)
    classes.cells[base + WAITED].fetch_add(waited)
    _raise_to(base + LONGEST_WAIT, waited)


def acquired(lock: LockRecord) -> None:
    """The caller has the lock now, alone."""
    classes.cells[_base(lock) + ACQUIRED].fetch_add(1)
    lock.taken_at = machine.clock.cycles()


def shared(lock: LockRecord) -> None:
    """The caller has the lock now, maybe with others."""
    classes.cells[_base(lock) + ACQUIRED].fetch_add(1)


def releasing(lock: LockRecord) -> None:
    """The caller gives the lock back next."""
    now = machine.clock.cycles()
    held = now - lock.taken_at if now > lock.taken_at else u64(0)
    base = _base(lock)
    classes.cells[base + HELD].fetch_add(held)
    _raise_to(base + LONGEST_HOLD, held)
