# SPDX-License-Identifier: Apache-2.0
"""The skew heap against a sorted list."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.kernel.sched.heap import Heap, HeapNode


def node(key: int) -> HeapNode:
    made = HeapNode()
    made.key = key
    return made


def check_links(of: HeapNode | None, up: HeapNode | None) -> int:
    """Every node knows its parent and is not before it; gives their number."""
    if of is None:
        return 0
    assert of.up is up
    assert up is None or up.key <= of.key
    return 1 + check_links(of.left, of) + check_links(of.right, of)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ipr"), st.integers(0, 50)), max_size=60))
def test_members_come_out_in_order_of_key(steps: list[tuple[str, int]]) -> None:
    heap = Heap()
    model: list[HeapNode] = []
    for kind, number in steps:
        if kind == "i":
            new = node(number)
            heap.insert(new)
            model.append(new)
        elif kind == "p":
            got = heap.pop()
            assert (got is None) == (not model)
            if got is not None:
                assert got.key == min(n.key for n in model)
                model = [n for n in model if n is not got]
        elif model:
            victim = model.pop(number % len(model))
            heap.remove(victim)
            assert victim.left is None and victim.right is None and victim.up is None
        assert check_links(heap.root, None) == len(model)
