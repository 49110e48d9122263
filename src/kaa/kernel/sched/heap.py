# SPDX-License-Identifier: Apache-2.0
"""A heap threaded through its own members: what the run queue and the timers are kept in.

A skew heap (Sleator and Tarjan, "Self-adjusting heaps", 1986): merging walks two right spines and swaps children on the
way, which is all the balancing there is; insert, pop and remove are O(log n) amortised, the case of one member is a
handful of instructions, and nothing is ever allocated, so that an interrupt may use it. Each node knows its parent, so
that any member can be taken out.

No lock of its own: the owner's protects it. The links are counted references; a node that is out has none.
"""

from __future__ import annotations

from kaa.lang import Guarded, u64


class HeapNode:
    """Something that is kept in order of `key`, smallest first. In at most one heap at a time."""

    key: Guarded[u64, "TimerQueue.lock"]
    left: Guarded[HeapNode | None, "TimerQueue.lock"]
    right: Guarded[HeapNode | None, "TimerQueue.lock"]
    up: Guarded[HeapNode | None, "TimerQueue.lock"]

    def __init__(self) -> None:
        self.key = 0
        self.left = None
        self.right = None
        self.up = None


def merge(first: HeapNode | None, second: HeapNode | None) -> HeapNode | None:
    """One heap of two. The caller sets the new root's `up`."""
    if first is None:
        return second
    if second is None:
        return first
    if second.key < first.key:
        return _weave(second, first)
    return _weave(first, second)


def _weave(root: HeapNode, other: HeapNode) -> HeapNode:
    """The same of two heaps of which the first has the smaller root."""
    node = root
    while True:
        right = node.right
        node.right = node.left
        if right is None:
            node.left = other
            other.up = node
            return root
        below = right
        if other.key < right.key:
            below = other
            other = right
        node.left = below
        below.up = node
        node = below


class Heap:
    """The root of such a heap."""

    root: Guarded[HeapNode | None, "TimerQueue.lock"]

    def __init__(self) -> None:
        self.root = None

    def insert(self, node: HeapNode) -> None:
        """Put `node` in by its key. It must be in no heap."""
        root = self.root
        if root is None:
            self.root = node
            return
        root = merge(root, node)
        if root is not None:
            root.up = None
        self.root = root

    def pop(self) -> HeapNode | None:
        """Take the node of the smallest key out; None when there is none."""
        root = self.root
        if root is not None:
            self.remove(root)
        return root

    def remove(self, node: HeapNode) -> None:
        """Take `node`, a member, out."""
        rest = merge(node.left, node.right)
        parent = node.up
        if rest is not None:
            rest.up = parent
        if parent is None:
            assert self.root is node
            self.root = rest
        elif parent.left is node:
            parent.left = rest
        else:
            parent.right = rest
        node.left = None
        node.right = None
        node.up = None
