# SPDX-License-Identifier: Apache-2.0
"""The tree of those who wait for a processor: in order of `key`, and each node knows the least virtual time below it.

A treap (Seidel and Aragon, "Randomized Search Trees", 1996): a search tree by key that is a heap by random rank, which
keeps it balanced whatever the keys. The least virtual time of each subtree lets `first_eligible` find the earliest key
among those whose virtual time is not beyond a limit in O(log n): the augmented tree of "Earliest Eligible Virtual
Deadline First" (Stoica and Abdel-Wahab, 1995). Nothing is allocated. Equal keys leave in order of arrival.

Keys and virtual times are compared by their distance, which is always far below 2**63, so that they may wrap.
No lock of its own: the run queue's protects it.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.sched.links import TreeNode, TreeRoot
from kaa.lang import Guarded, borrowed, i64, inline, noinline, u32, u64, wrapping_add, wrapping_mul, wrapping_sub

# A linear congruential generator (Knuth, "Seminumerical Algorithms", 3.3.4, line 26); its upper half is used.
MULTIPLIER: Final = 6364136223846793005
INCREMENT: Final = 1442695040888963407


@inline
def before(first: u64, second: u64) -> bool:
    """Whether one virtual time is earlier than another."""
    return i64(wrapping_sub(first, second)) < 0


class Tree(TreeRoot):
    """Nodes in order of key."""

    ranks: Guarded[u64, "RunQueue.lock"]

    def __init__(self) -> None:
        self.ranks = 1

    def is_empty(self) -> bool:
        """Whether nobody is in it."""
        return self.root is None

    @inline
    def insert(self, node: TreeNode) -> None:
        """Put `node`, which is in no tree, behind those of its key."""
        node.least = node.vruntime
        if self.root is None:
            node.rank = 0
            self.root = node
        else:
            self._insert(node)

    @noinline
    def _insert(self, node: TreeNode) -> None:
        self.ranks = wrapping_add(wrapping_mul(self.ranks, u64(MULTIPLIER)), u64(INCREMENT))
        node.rank = u32(self.ranks >> 32)
        at = self.root
        key, vruntime = node.key, node.vruntime
        while at is not None:
            if before(vruntime, at.least):
                at.least = vruntime
            node.up = at
            if before(key, at.key):
                below = at.left
                if below is None:
                    at.left = node
            else:
                below = at.right
                if below is None:
                    at.right = node
            at = below
        while True:
            parent = node.up
            if parent is None or parent.rank >= node.rank:
                return
            self._raise(node, parent)

    def _raise(self, node: TreeNode, parent: TreeNode) -> None:
        """Rotate: `node` takes its parent's place."""
        if parent.left is node:
            inner = node.right
            parent.left = inner
            node.right = parent
        else:
            inner = node.left
            parent.right = inner
            node.left = parent
        if inner is not None:
            inner.up = parent
        self._replace(parent, node)
        parent.up = node
        node.least = parent.least
        _find_least(parent)

    @inline
    def _replace(self, old: TreeNode, new: TreeNode | None) -> None:
        """What `old` is to those above it, `new` is from now on."""
        above = old.up
        if new is not None:
            new.up = above
        if above is None:
            self.root = new
        elif above.left is old:
            above.left = new
        else:
            above.right = new

    @inline
    def remove(self, node: TreeNode) -> None:
        """Take `node`, a member, out."""
        if self.root is node and node.left is None and node.right is None:
            self.root = None
        else:
            self._remove(node)

    @noinline
    def _remove(self, node: TreeNode) -> None:
        while True:
            left, right = node.left, node.right
            if left is None or right is None:
                break
            self._raise(left if left.rank > right.rank else right, node)
        above = node.up
        self._replace(node, right if left is None else left)
        node.left = None
        node.right = None
        node.up = None
        while above is not None:
            _find_least(above)
            above = above.up

    @borrowed
    def first(self) -> TreeNode | None:
        """Who has the earliest key."""
        root = self.root
        return None if root is None else leftmost(root)

    @borrowed
    def first_eligible(self, limit: u64) -> TreeNode | None:
        """Who has the earliest key among those whose virtual time is at most `limit`."""
        node = self.root
        while node is not None:
            left = node.left
            if left is not None and not before(limit, left.least):
                node = left
            elif not before(limit, node.vruntime):
                return node
            else:
                node = node.right
        return None


@borrowed
def leftmost(node: TreeNode) -> TreeNode:
    """The first in order of key of a node and those below it."""
    at = node
    while True:
        left = at.left
        if left is None:
            return at
        at = left


@borrowed
def following(node: TreeNode) -> TreeNode | None:
    """The next in order of key."""
    below = node.right
    if below is not None:
        return leftmost(below)
    at = node
    while True:
        above = at.up
        if above is None or above.left is at:
            return above
        at = above


def _find_least(node: TreeNode) -> None:
    least = node.vruntime
    left, right = node.left, node.right
    if left is not None and before(left.least, least):
        least = left.least
    if right is not None and before(right.least, least):
        least = right.least
    node.least = least
