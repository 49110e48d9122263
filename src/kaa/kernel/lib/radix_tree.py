# SPDX-License-Identifier: Apache-2.0
"""Words by index: a radix tree with nodes of 64 slots, as high as its largest index wants. 0 means "nothing here".

A tree that holds only index 0 has no node at all: most files are one page long. `set` is the only operation that
allocates; it raises MemoryError with the words unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kaa.lang import Array, borrowed, inline, part, recursive, u32, u64

BITS: Final = 6
SLOTS: Final = 64
SLOT_MASK: Final = 63
MAX_INDEX: Final = (1 << 54) - 1


@part
class Node:
    """Slots for the indexes that agree above bit shift + 6."""

    shift: u32
    used: u32
    """Slots in use."""

    def __init__(self, shift: u32) -> None:
        self.shift = shift
        self.used = 0


class Leaf(Node):
    """The lowest level."""

    values: Array[u64, SLOTS]

    def __init__(self) -> None:
        super().__init__(0)
        self.values = Array[u64, SLOTS]()


class Branch(Node):
    """A level above."""

    children: Array[Node | None, SLOTS]

    def __init__(self, shift: u32) -> None:
        super().__init__(shift)
        self.children = Array[Node | None, SLOTS]()


@part
class RadixTree:
    """The tree. The caller locks."""

    root: Node | None
    only: u64
    """The word at index 0, while there is no node."""

    def __init__(self) -> None:
        self.root = None
        self.only = 0

    @inline
    def _covers(self, root: Node, index: u64) -> bool:
        return index >> root.shift < SLOTS

    @borrowed
    def leaf_of(self, index: u64) -> Leaf | None:
        """The leaf with the index's slot, if there is one: for those who look at neighbours. The tree keeps it."""
        node = self.root
        if node is None or not self._covers(node, index):
            return None
        while isinstance(node, Branch):
            node = node.children[(index >> node.shift) & SLOT_MASK]
        if isinstance(node, Leaf):
            return node
        return None

    def get(self, index: u64) -> u64:
        """The word at index; 0 if none."""
        if self.root is None:
            return self.only if index == 0 else u64(0)
        leaf = self.leaf_of(index)
        return u64(0) if leaf is None else leaf.values[index & SLOT_MASK]

    def set(self, index: u64, value: u64) -> None:
        """Put a word (not 0) at index. Raises MemoryError."""
        assert value != 0 and index <= MAX_INDEX
        if self.root is None and index == 0:
            self.only = value
            return
        leaf = self._make_leaf(index)
        slot = index & SLOT_MASK
        if leaf.values[slot] == 0:
            leaf.used += 1
        leaf.values[slot] = value

    def _make_root(self, index: u64) -> Node:
        """A root that covers index."""
        found = self.root
        root: Node = self._first_root(index) if found is None else found
        self.root = root
        while not self._covers(root, index):
            higher = Branch(root.shift + BITS)
            higher.children[0] = root
            higher.used = 1
            root = higher
            self.root = root
        return root

    def _first_root(self, index: u64) -> Node:
        """A leaf with the word at index 0; without one, a root just high enough."""
        if self.only != 0:
            leaf = Leaf()
            leaf.values[0] = self.only
            leaf.used = 1
            self.only = 0
            return leaf
        shift: u32 = 0
        while index >> shift >= SLOTS:
            shift += BITS
        if shift == 0:
            return Leaf()
        return Branch(shift)

    def _make_leaf(self, index: u64) -> Leaf:
        node = self._make_root(index)
        while isinstance(node, Branch):
            slot = (index >> node.shift) & SLOT_MASK
            child = node.children[slot]
            if child is None:
                child = self._new_child(node.shift)
                node.children[slot] = child
                node.used += 1
            node = child
        assert isinstance(node, Leaf)
        return node

    def _new_child(self, shift: u32) -> Node:
        if shift == BITS:
            return Leaf()
        return Branch(shift - BITS)

    def remove(self, index: u64) -> u64:
        """Take the word at index out, and nodes that it leaves empty; gives it, 0 if there was none."""
        root = self.root
        if root is None:
            if index != 0:
                return u64(0)
            value = self.only
            self.only = 0
            return value
        if not self._covers(root, index):
            return u64(0)
        value = self._remove_below(root, index)
        if root.used == 0:
            self.root = None
        return value

    @recursive(10, "each level has a smaller shift, from at most 54 down to 0 by 6")
    def _remove_below(self, node: Node, index: u64) -> u64:
        """At most nine levels deep."""
        slot = (index >> node.shift) & SLOT_MASK
        if isinstance(node, Leaf):
            value = node.values[slot]
            if value != 0:
                node.values[slot] = 0
                node.used -= 1
            return value
        if isinstance(node, Branch):
            child = node.children[slot]
            if child is not None:
                value = self._remove_below(child, index)
                if child.used == 0:
                    node.children[slot] = None
                    node.used -= 1
                return value
        return u64(0)

    def _skip(self, index: u64) -> u64:
        """The next index that may have a leaf, when `index` has none. Past all indexes: MAX_INDEX + 1."""
        node = self.root
        if node is None or not self._covers(node, index):
            return u64(MAX_INDEX + 1)
        shift = node.shift
        while isinstance(node, Branch):
            shift = node.shift
            node = node.children[(index >> shift) & SLOT_MASK]
        return ((index >> shift) + 1) << shift

    def items(self, first: u64, end: u64) -> Iterator[tuple[u64, u64]]:
        """(index, word) of what is in [first, end), ascending. Nothing is removed meanwhile: leaves are not counted."""
        index = first
        if self.root is None and index == 0 and end > 0 and self.only != 0:
            yield u64(0), self.only
            index = u64(1)
        while index < end:
            leaf = self.leaf_of(index)
            if leaf is None:
                index = self._skip(index)
            else:
                stop = min(end, (index | SLOT_MASK) + 1)
                while index < stop:
                    value = leaf.values[index & SLOT_MASK]
                    if value != 0:
                        yield index, value
                    index += 1

    def is_empty(self) -> bool:
        """Whether there is no word at all."""
        return self.root is None and self.only == 0
