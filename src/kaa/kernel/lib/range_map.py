# SPDX-License-Identifier: Apache-2.0
"""Disjoint ranges [start, end) in order of address: a B-tree of two levels.

Leaves hold up to 32 ranges; the root is a growable array of leaves. A look-up is a binary search in each, an insertion
moves at most half a leaf (and now and then an entry of the root). With 65,530 areas, the most a Linux process may have,
the root has some 4,000 entries. The range found last is remembered: page faults come in runs.

An entry's `start` is its key: change it only through `move_start`. Its `end` may be changed in place, as long as the
ranges stay disjoint. `insert` raises MemoryError before anything has changed; nothing else allocates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from kaa.lang import Array, Guarded, Relaxed, inline, part, u64, usize
from kaa.lang.unsafe import Unowned, address_of, move, zero

CAPACITY: Final = 32
WORD: Final = 8


class Range:
    """What can be in a RangeMap."""

    start: Guarded[Relaxed[u64], "AddressSpace.lock"]
    end: Guarded[Relaxed[u64], "AddressSpace.lock"]
    """Walks over the areas of a file look without that lock; the bounds of those areas change under the walks' lock
    too (mm/file_mappings.py)."""

    def __init__(self, start: u64, end: u64) -> None:
        self.start = start
        self.end = end


T = TypeVar("T", bound=Range)


@part
class Leaf(Generic[T]):
    """Up to 32 ranges; never empty while in a map."""

    starts: Array[u64, CAPACITY]
    entries: Array[T | None, CAPACITY]
    count: usize

    def __init__(self) -> None:
        self.starts = Array[u64, CAPACITY]()
        self.entries = Array[T | None, CAPACITY]()
        self.count = 0

    def last_at_or_below(self, key: u64) -> usize:
        """The slot of the last entry that starts at or below key; 0 also if none does."""
        low: usize = 0
        high = self.count
        while low + 1 < high:
            middle = (low + high) >> 1
            if self.starts[middle] <= key:
                low = middle
            else:
                high = middle
        return low

    def open(self, slot: usize) -> None:
        """Make room at `slot`: an entry that is None."""
        assert slot <= self.count and self.count < CAPACITY
        self._shift(slot, slot + 1, self.count - slot)
        zero(address_of(self.entries) + slot * WORD, WORD)
        self.count += 1

    def close(self, slot: usize) -> None:
        """Take the entry at `slot` out."""
        assert slot < self.count
        self.count -= 1
        self.entries[slot] = None
        self._shift(slot + 1, slot, self.count - slot)
        zero(address_of(self.entries) + self.count * WORD, WORD)

    @inline
    def _shift(self, source: usize, target: usize, number: usize) -> None:
        """Move `number` entries. As words: no count is touched, the ranges themselves are not looked at."""
        starts, entries = address_of(self.starts), address_of(self.entries)
        move(starts + target * WORD, starts + source * WORD, number * WORD)
        move(entries + target * WORD, entries + source * WORD, number * WORD)

    def move_half(self, other: Leaf[T]) -> None:
        """Move the upper half of a full leaf to an empty one."""
        assert self.count == CAPACITY and other.count == 0
        size = CAPACITY // 2 * WORD
        move(address_of(other.starts), address_of(self.starts) + size, size)
        move(address_of(other.entries), address_of(self.entries) + size, size)
        zero(address_of(self.entries) + size, size)
        self.count = CAPACITY // 2
        other.count = CAPACITY // 2


@part
class RangeMap(Generic[T]):
    """The map. The caller locks: changes alone, look-ups beside look-ups."""

    leaves: list[Leaf[T]]
    count: usize
    recent: Relaxed[Unowned[T | None]] = None
    """The range found last. Never counted: removing a range forgets it. Look-ups beside each other all write it, one
    word: each takes what it finds into a local first, and what it finds is in the map, as changes are made alone."""

    def __init__(self) -> None:
        self.leaves = []
        self.count = 0

    def __len__(self) -> usize:
        return self.count

    # -- looking

    @inline
    def find(self, key: u64) -> T | None:
        """The range that contains key."""
        recent = self.recent
        if recent is not None and recent.start <= key and key < recent.end:
            return recent
        return self._search(key)

    def _search(self, key: u64) -> T | None:
        entry = self.last_at_or_below(key)
        if entry is None or key >= entry.end:
            return None
        self.recent = entry
        return entry

    def _leaf_for(self, key: u64) -> usize:
        """The last leaf whose first entry starts at or below key; the first leaf if none does."""
        low: usize = 0
        high = len(self.leaves)
        while low + 1 < high:
            middle = (low + high) >> 1
            if self.leaves[middle].starts[0] <= key:
                low = middle
            else:
                high = middle
        return low

    def last_at_or_below(self, key: u64) -> T | None:
        """The last range that starts at or below key."""
        if self.count == 0:
            return None
        leaf = self.leaves[self._leaf_for(key)]
        slot = leaf.last_at_or_below(key)
        if leaf.starts[slot] > key:
            return None
        return leaf.entries[slot]

    def first_ending_above(self, key: u64) -> T | None:
        """The range that contains key, or the first one after it."""
        for entry in self.ending_above(key):
            return entry
        return None

    def ending_above(self, key: u64) -> Iterator[T]:
        """All ranges that end above key, ascending. The map must not be changed meanwhile."""
        number = self._leaf_for(key)
        leaves = len(self.leaves)
        slot: usize = 0
        if leaves > 0:
            slot = self.leaves[number].last_at_or_below(key)
        while number < leaves:
            leaf = self.leaves[number]
            while slot < leaf.count:
                entry = leaf.entries[slot]
                if entry is not None and entry.end > key:
                    yield entry
                slot += 1
            slot = 0
            number += 1

    def between(self, start: u64, end: u64) -> Iterator[T]:
        """The ranges that overlap [start, end), ascending. The map must not be changed meanwhile."""
        for entry in self.ending_above(start):
            if entry.start >= end:
                break
            yield entry

    def __iter__(self) -> Iterator[T]:
        for entry in self.ending_above(u64(0)):
            yield entry

    def starting_below(self, key: u64) -> Iterator[T]:
        """The ranges that start below key, descending. The map must not be changed meanwhile."""
        number = len(self.leaves)
        if self.count > 0:
            number = self._leaf_for(key) + 1
        while number > 0:
            number -= 1
            leaf = self.leaves[number]
            slot = leaf.count
            while slot > 0:
                slot -= 1
                entry = leaf.entries[slot]
                if entry is not None and leaf.starts[slot] < key:
                    yield entry

    # -- changing

    def insert(self, entry: T) -> None:
        """Put a range in that overlaps none. Raises MemoryError, the map unchanged."""
        if len(self.leaves) == 0:
            self.leaves.append(Leaf[T]())
        number = self._leaf_for(entry.start)
        if self.leaves[number].count == CAPACITY:
            self._split(number)
            number = self._leaf_for(entry.start)
        leaf = self.leaves[number]
        slot: usize = 0
        if leaf.count > 0:
            slot = leaf.last_at_or_below(entry.start)
            if leaf.starts[slot] <= entry.start:
                slot += 1
        leaf.open(slot)
        leaf.starts[slot] = entry.start
        leaf.entries[slot] = entry
        self.count += 1

    def _split(self, number: usize) -> None:
        """Move the upper half of a full leaf to a new one behind it."""
        upper = Leaf[T]()
        self.leaves.insert(number + 1, upper)
        self.leaves[number].move_half(upper)

    def remove(self, entry: T) -> None:
        """Take a range out that is in the map."""
        number = self._leaf_for(entry.start)
        leaf = self.leaves[number]
        slot = leaf.last_at_or_below(entry.start)
        assert leaf.entries[slot] is entry
        self.recent = None
        leaf.close(slot)
        self.count -= 1
        if leaf.count == 0:
            self.leaves.pop(number)

    def move_start(self, entry: T, start: u64) -> None:
        """Change where a range begins; its place in the order stays."""
        leaf = self.leaves[self._leaf_for(entry.start)]
        slot = leaf.last_at_or_below(entry.start)
        assert leaf.entries[slot] is entry
        leaf.starts[slot] = start
        entry.start = start

    def clear(self) -> None:
        """Forget all ranges."""
        self.recent = None
        self.leaves.clear()
        self.count = 0
