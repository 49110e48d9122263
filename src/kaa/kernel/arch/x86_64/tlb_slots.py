# SPDX-License-Identifier: Apache-2.0
"""Which address spaces a processor remembers translations of, and up to when these are good: the policy of pcid.py,
without a register.

A processor has a few slots; what it remembers of a user address space is tagged with the slot that the address space
has. An address space has a number, never used again, and a generation, which every shoot-down raises. The invariant: a
slot that says (space, generation) has nothing left that a shoot-down of `space` up to `generation` took away. Who comes
to an address space whose slot is behind, or that has none, forgets the slot's translations while loading it.

Between a processor that loads an address space and one that shoots down, both with full barriers (locked instructions)
between the two steps:

    loading                                   shooting down (the entries are changed before)
    put the bit into `PageTable.active`       raise `PageTable.generation`
    read `PageTable.generation`               read `PageTable.active`

One of them sees the other's first step. If the loader reads the raised generation, it forgets, and walks the tables as
they were changed: entries were written before the generation, and a load of CR3 waits for the reads before it. If not,
the bit came before the read, that before the raise, and that before the other's look at the set: the loader is asked,
and answers when its interrupts are on again, before it uses any of it. Nothing more is needed for a processor that
left: its bit is taken out after another root is loaded; a shoot-down that misses the bit has raised the generation
before the bit is put in again. One that still finds it asks in vain, and the slot stays behind.

So loading is one step to requests (interrupts are off from the read to the load), and so is answering one: the root is
looked at, the slot marked and its translations dropped without another request between.
"""

from __future__ import annotations

from typing import Final

from kaa.lang import ZERO, Array, Atomic, struct, u32, u64

SLOTS: Final = 6
NOTHING: Final = 0
RANGE: Final = 1
ALL: Final = 2


class Numbers:
    """The address spaces there have been so far."""

    given: Atomic[u64]

    def __init__(self) -> None:
        self.given = Atomic(0)

    def next(self) -> u64:
        """A number that no address space ever had. Not 0."""
        return self.given.fetch_add(1) + 1


numbers = Numbers()


@struct
class Slots:
    """One processor's; it alone uses them, with interrupts off. All zero: nothing is remembered."""

    spaces: Array[u64, 6] = ZERO
    """0: free."""
    generations: Array[u64, 6] = ZERO
    used: Array[u64, 6] = ZERO
    """When each was last entered, counted in entries."""
    entries: u64 = 0
    current: u32 = 0
    """The slot entered last: that of the loaded address space, unless it is the kernel's."""

    def _place(self, space: u64) -> u32:
        """The slot of an address space, or else the one that was left alone longest."""
        oldest: u32 = u32(0)
        for at in range(SLOTS):
            if self.spaces[at] == space:
                return u32(at)
            if self.used[at] < self.used[oldest]:
                oldest = u32(at)
        return oldest

    def enter(self, space: u64, generation: u64) -> bool:
        """Make the slot of an address space, whose generation was just read, the current one. True: what is remembered
        there is good; False: it is to be forgotten before it is used."""
        at = self._place(space)
        good = self.spaces[at] == space and self.generations[at] == generation
        self.entries += 1
        self.spaces[at] = space
        self.generations[at] = generation
        self.used[at] = self.entries
        self.current = at
        return good

    def catch_up(self, generation: u64) -> u32:
        """The loaded address space was shot down, which raised its generation to this: what is to be forgotten, at
        once, that the current slot may say so from now on. RANGE: just what was shot down. ALL: another shoot-down was
        faster, and its range is not known here. NOTHING: all was forgotten since."""
        behind = self.generations[self.current]
        if behind >= generation:
            return NOTHING
        self.generations[self.current] = generation
        return RANGE if behind + 1 == generation else ALL
