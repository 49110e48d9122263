# SPDX-License-Identifier: Apache-2.0
"""The range map against a sorted list, the radix tree and the bitmap against a dict and a set."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.kernel.lib.bitmap import Bitmap
from kaa.kernel.lib.radix_tree import RadixTree
from kaa.kernel.lib.range_map import Range, RangeMap

steps = st.lists(st.tuples(st.sampled_from(["insert", "remove", "grow", "move"]), st.integers(0, 400)), max_size=300)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_the_map_answers_as_a_sorted_list_does(script: list[tuple[str, int]]) -> None:
    ranges: RangeMap[Range] = RangeMap()
    model: dict[int, Range] = {}
    for what, number in script:
        slot = number * 10
        if what == "insert" and slot not in model:
            model[slot] = Range(slot + 2, slot + 8)
            ranges.insert(model[slot])
        elif what == "remove" and slot in model:
            ranges.remove(model.pop(slot))
        elif what == "grow" and slot in model:
            model[slot].end = slot + 10
        elif what == "move" and slot in model:
            ranges.move_start(model[slot], slot)
        in_order = [model[at] for at in sorted(model)]
        assert list(ranges) == in_order and len(ranges) == len(in_order)
        for key in (slot, slot + 1, slot + 5, slot + 9):
            found = [r for r in in_order if r.start <= key < r.end]
            assert ranges.find(key) is (found[0] if found else None)
            above = [r for r in in_order if r.end > key]
            assert list(ranges.ending_above(key)) == above
            assert ranges.first_ending_above(key) is (above[0] if above else None)
            assert list(ranges.starting_below(key)) == [r for r in reversed(in_order) if r.start < key]
            assert list(ranges.between(key, key + 25)) == [r for r in above if r.start < key + 25]


indexes = st.one_of(st.integers(0, 200), st.integers(0, 1 << 20), st.integers(0, (1 << 54) - 1))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), indexes), max_size=60), indexes)
def test_the_tree_answers_as_a_dict_does(script: list[tuple[bool, int]], probe: int) -> None:
    tree = RadixTree()
    model: dict[int, int] = {}
    for put, index in script:
        if put:
            tree.set(index, index + 1)
            model[index] = index + 1
        else:
            assert tree.remove(index) == model.pop(index, 0)
    for index in [*model, probe]:
        assert tree.get(index) == model.get(index, 0)
    end = 1 << 54
    assert list(tree.items(0, end)) == sorted(model.items())
    assert list(tree.items(probe, end)) == sorted((i, v) for i, v in model.items() if i >= probe)
    for index in list(model):
        tree.remove(index)
    assert tree.is_empty()


@given(st.sets(st.integers(0, 255)), st.integers(0, 255))
def test_first_clear_finds_the_lowest_free_number(taken: set[int], start: int) -> None:
    bitmap = Bitmap(256)
    for bit in taken:
        bitmap.set(bit)
    free = [bit for bit in range(start, 256) if bit not in taken]
    assert bitmap.first_clear(start) == (free[0] if free else 256)
    for bit in taken:
        assert bitmap.test(bit)
        bitmap.clear(bit)
    assert bitmap.first_clear(0) == 0
