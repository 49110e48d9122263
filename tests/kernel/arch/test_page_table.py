# SPDX-License-Identifier: Apache-2.0
"""Page tables against a dict, over simulated memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.kernel.arch.x86_64 import paging
from kaa.kernel.arch.x86_64.page_table import PageTable
from kaa.kernel.mm import buddy
from kaa.lang import u64
from kaa.lang.unsafe import zero


class Frames:
    """A page allocator that counts."""

    def __init__(self) -> None:
        self.next, self.live = 0x100, set[int]()

    def allocate(self) -> u64:
        self.next += 1
        self.live.add(self.next)
        zero(paging.direct_map(u64(self.next << 12)), u64(4096))
        return u64(self.next)

    def free(self, pfn: int, order: int) -> None:
        self.live.remove(pfn)


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> Iterator[Frames]:
    yield from _frames(monkeypatch)


def _frames(monkeypatch: pytest.MonkeyPatch) -> Iterator[Frames]:
    found = Frames()
    monkeypatch.setattr(buddy, "allocate_zeroed", found.allocate)
    monkeypatch.setattr(buddy, "free_pages", found.free)
    monkeypatch.setattr(paging.kernel, "root", u64(found.allocate() << 12))
    yield found


PAGES = st.integers(0, (1 << 35) - 1).map(lambda page: page << 12) | st.integers(0, 2000).map(lambda page: page << 12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(PAGES, st.integers(1, 1 << 20), st.booleans(), st.booleans()), max_size=12), PAGES, PAGES)
def test_a_table_is_a_map_from_pages_to_entries(
    wanted: list[tuple[int, int, bool, bool]], start: int, end: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for frames in _frames(patch):
            table, model = PageTable(), dict[int, int]()
            for va, pfn, writable, executable in wanted:
                table.set(u64(va), u64(pfn), writable, executable)
                model[va] = paging.make_entry(u64(pfn), writable, executable, True)
            assert all(table.get(u64(va)) == entry for va, entry in model.items())
            found = [(int(va), int(entry)) for va, entry in table.entries(u64(start), u64(end))]
            assert found == sorted((va, entry) for va, entry in model.items() if start <= va < end)
            list(table.take_range(u64(0), u64(1 << 47)))
            assert not list(table.entries(u64(0), u64(1 << 47)))
            table.free_range(u64(0), u64(1 << 47))
            assert table.tables == 1
            root = int(table.root) >> 12
            table.__del__()
            assert root not in frames.live and len(frames.live) == 1
            table.root = u64(0)


def test_fork_takes_the_right_to_write_from_both(frames: Frames) -> None:
    parent, child = PageTable(), PageTable()
    parent.set(u64(0x5000), u64(77), True, False)
    given_out = list(parent.copy_range(child, u64(0), u64(1 << 30)))
    assert [(va, paging.entry_pfn(entry)) for va, entry in given_out] == [(0x5000, 77)]
    assert paging.entry_writable(given_out[0][1])
    for table in (parent, child):
        assert not paging.entry_writable(table.get(u64(0x5000)))
        table.clear(u64(0x5000))


def test_only_tables_wholly_within_the_range_are_freed(frames: Frames) -> None:
    table = PageTable()
    table.reserve(u64(0))
    table.reserve(u64(2 << 20))
    assert table.tables == 5
    table.free_range(u64(0), u64(2 << 20))
    assert table.tables == 4
    table.free_range(u64(0), u64(3 << 20))
    assert table.tables == 4
