# SPDX-License-Identifier: Apache-2.0
"""The tree of areas that map a file: every walk meets each of them once, and originals before their copies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kaa.kernel.lib.range_map import RangeMap
from kaa.kernel.mm import file_mappings
from kaa.kernel.mm.page_cache import PageCache
from kaa.kernel.mm.vma import Vma
from kaa.lang import u32, u64

PAGE = 4096


class Family:
    """Address spaces, each a map of one area, and whose copy each is."""

    def __init__(self) -> None:
        self.cache = PageCache(None)
        self.alive: list[RangeMap[Vma]] = []
        self.original: dict[Vma, Vma] = {}

    def area(self, space: RangeMap[Vma]) -> Vma:
        """The only one of a space."""
        found = space.find(u64(0))
        assert found is not None
        return found

    def new(self) -> None:
        """A process maps the file."""
        space = RangeMap[Vma]()
        vma = Vma(u64(0), u64(PAGE), u32(0), None, u64(0))
        vma.show(self.cache)
        space.insert(vma)
        file_mappings.link(vma)
        self.alive.append(space)

    def fork(self, number: int) -> None:
        """One of the processes forks."""
        parent = self.alive[number % len(self.alive)]
        child = RangeMap[Vma]()
        child.insert(self.area(parent).part(u64(0), u64(PAGE)))
        file_mappings.link_copies(child, parent)
        self.original[self.area(child)] = self.area(parent)
        self.alive.append(child)

    def end(self, number: int) -> None:
        """One of them ends; what it left behind are now copies of what it was a copy of."""
        space = self.alive.pop(number % len(self.alive))
        gone = self.area(space)
        file_mappings.unlink_all(space)
        above = self.original.pop(gone, None)
        for copy, original in list(self.original.items()):
            if original is gone:
                del self.original[copy]
                if above is not None:
                    self.original[copy] = above

    def walk(self) -> list[Vma]:
        """All areas, in the order of a walk."""
        return list(file_mappings.areas_of(self.cache))


steps = st.tuples(st.sampled_from(["new", "fork", "fork", "end"]), st.integers(0, 1000))


@given(st.lists(steps, max_size=60))
def test_a_walk_meets_every_area_once_and_originals_before_their_copies(script: list[tuple[str, int]]) -> None:
    family = Family()
    for what, number in script:
        if what == "new" or not family.alive:
            family.new()
        elif what == "fork":
            family.fork(number)
        else:
            family.end(number)
        met = family.walk()
        assert len(met) == len(family.alive)
        assert set(met) == {family.area(space) for space in family.alive}
        place = {vma: at for at, vma in enumerate(met)}
        for copy, original in family.original.items():
            assert place[original] < place[copy]
    while family.alive:
        family.end(0)
    assert family.cache.sharers is None


def test_who_forks_and_ends_touches_no_other_process_s_area() -> None:
    """Two processes side by side, both copies of a third: neither area is written while the other forks."""
    family = Family()
    family.new()
    family.fork(0)
    family.fork(0)
    left, right = family.area(family.alive[1]), family.area(family.alive[2])
    before = (left.next_sharer, left.previous_sharer, left.first_copy)
    family.fork(2)
    assert family.original[family.area(family.alive[3])] is right
    assert (left.next_sharer, left.previous_sharer, left.first_copy) == before
    family.end(3)
    assert (left.next_sharer, left.previous_sharer, left.first_copy) == before
    assert right.first_copy is None
