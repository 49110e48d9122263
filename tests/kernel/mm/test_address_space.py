# SPDX-License-Identifier: Apache-2.0
"""An address space against a dict of pages; fork, copy on write, files, limits."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import PAGE, all_frames_are_free, boot

from kaa.kernel.abi.mman import Madvise, MapFlag, Prot
from kaa.kernel.arch import machine
from kaa.kernel.mm import advice, buddy, faults, file_mappings, frame, mapping, pages, reclaim, remap, trimming
from kaa.kernel.mm.address_space import AddressSpace
from kaa.kernel.mm.page_cache import PageCache
from kaa.kernel.mm.vma import Vma
from kaa.lang import u32, u64

RW = Prot.READ | Prot.WRITE
ANONYMOUS = MapFlag.PRIVATE | MapFlag.ANONYMOUS
FIXED = ANONYMOUS | MapFlag.FIXED
BASE = 0x10_0000_0000


def store(space: AddressSpace, address: int, value: int) -> bool:
    """Whether a byte could be stored."""
    return space.write_remote(u64(address), bytes([value])) == 1


def load(space: AddressSpace, address: int) -> int | None:
    """The byte there, None for a fault."""
    from kaa.lang import Array, u8

    cell = Array[u8, 1]()
    return int(cell[0]) if space.read_remote(u64(address), cell[:]) == 1 else None


class File:
    """An open file as mmap sees it: an inode with a cache."""

    def __init__(self, contents: bytes, *, flags: int = 2, backed: bool = False) -> None:
        self.contents = bytearray(contents)
        self.size = len(contents)
        self.flags = flags
        self.reads = 0
        self.written: dict[int, bytes] = {}
        self.cache: Any = PageCache(self)  # type: ignore[arg-type]
        self.cache.backed = backed

    def mmap(self, vma: Vma) -> None:
        vma.show(self.cache)

    def read_page(self, index: int, pfn: int) -> None:
        self.reads += 1
        frame.clear(pfn)
        part = bytes(self.contents[index * PAGE : (index + 1) * PAGE])
        frame.contents(pfn)[0 : len(part)].copy_from(part)

    def write_page(self, index: int, pfn: int) -> None:
        self.written[index] = bytes(frame.contents(pfn))


def cached(file: File) -> File:
    """All its pages are in its cache."""
    for index in range(file.cache.size_in_pages()):
        frame.put_page(file.cache.read(index))
    return file


COMMANDS = ["map", "unmap", "protect_none", "protect_read", "protect_write", "store", "fork", "dontneed"]
commands = st.sampled_from(COMMANDS)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(commands, st.integers(0, 23), st.integers(1, 8), st.integers(1, 255)), max_size=40),
       st.booleans())
def test_memory_is_what_a_dict_of_pages_says(script: list[tuple[str, int, int, int]], busy: bool) -> None:
    """The model: page -> [prot, value of its first byte]. After a fork both copies are checked, and the child goes
    on. `busy`: as if several processors had the page table loaded."""
    boot(600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine.paging.PageTable, "is_busy", lambda table: busy)
        follow(script)


def follow(script: list[tuple[str, int, int, int]]) -> None:
    """Do what the script says to memory and to the model, and compare."""
    space = AddressSpace()
    model: dict[int, list[int]] = {}
    others: list[tuple[AddressSpace, dict[int, list[int]]]] = []
    for what, page, count, value in script:
        start = BASE + page * PAGE
        span = range(page, page + count)
        if what == "map":
            space.map(start, count * PAGE, RW, FIXED, None, 0)
            model.update({p: [RW, 0] for p in span})
        elif what == "unmap":
            space.unmap(start, count * PAGE)
            for p in span:
                model.pop(p, None)
        elif what.startswith("protect"):
            prot = {"protect_none": 0, "protect_read": 1, "protect_write": 3}[what]
            mapped = [p for p in span if p in model]
            try:
                space.protect(start, count * PAGE, prot)
                assert len(mapped) == count
            except MemoryError:
                assert len(mapped) < count
            for p in span:
                if p not in model:
                    break
                model[p][0] = prot
        elif what == "store":
            able = page in model and model[page][0] & 2 != 0
            assert store(space, start, value) == able
            if able:
                model[page][1] = value
        elif what == "dontneed":

            try:
                advice.advise(space, u64(start), u64(count * PAGE), u64(4))
            except MemoryError:
                pass
            for p in span:
                if p in model:
                    model[p][1] = 0
        elif what == "fork" and len(others) < 3:
            others.append((space, {p: list(state) for p, state in model.items()}))
            space.is_shared.store(value % 2 == 0)
            space = space.fork(u64(start + 8), u64(BASE + value * PAGE))
    others.append((space, model))
    for each, expected in others:
        for p in range(34):
            state = expected.get(p)
            assert load(each, BASE + p * PAGE) == (state[1] if state is not None and state[0] else None)
        assert each.total_pages == len(expected)
    for each, _ in others:
        each.__del__()
        each.page_table.__del__()
        each.page_table.root = u64(0)
        assert each.anonymous_pages == 0 and each.file_pages == 0
        each.areas_committed.store(0)

    assert all_frames_are_free(1 if pages.zero_page.pfn.load() else 0)


def test_a_walk_up_through_memory_faults_less_and_less() -> None:
    """Each fault brings in at most as many pages as were touched in a row before."""
    boot()
    space = AddressSpace()
    space.map(BASE, 40 * PAGE, RW, FIXED, None, 0)

    def touched() -> list[int]:
        faulted = []
        for index in range(40):
            before = space.resident_private.load()
            assert store(space, BASE + index * PAGE, 1)
            if space.resident_private.load() != before:
                faulted.append(index)
        return faulted

    assert touched() == [0, 1, 2, 4, 8, 16, 32]
    assert space.resident_private.load() == 40  # not beyond the area's end
    assert all(load(space, BASE + index * PAGE + 8) == 0 for index in range(40))


@pytest.mark.parametrize("change", ["nothing", "unmapped", "read-only", "shorter", "filled", "file"])
def test_pages_are_zeroed_while_other_threads_may_change_the_areas(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where several processors use the memory, a fault that brings in several pages makes them without the lock, and
    looks again when it has them."""
    boot()
    space = AddressSpace()
    space.map(BASE, 64 * PAGE, RW, FIXED, None, 0)
    for index in range(8):
        assert store(space, BASE + index * PAGE, 1)
    monkeypatch.setattr(machine.paging.PageTable, "is_busy", lambda table: True)
    file = File(b"g" * (64 * PAGE))
    clear, done = buddy.allocate_zeroed, []

    def meanwhile() -> int:
        if not done:
            done.append(True)
            assert space.lock.state.load() == 0
            if change == "unmapped":
                space.unmap(BASE + 4 * PAGE, 8 * PAGE)
            elif change == "read-only":
                space.protect(BASE + 8 * PAGE, PAGE, Prot.READ)
            elif change == "shorter":
                space.unmap(BASE + 11 * PAGE, 53 * PAGE)
            elif change == "filled":
                space.fault(u64(BASE + 10 * PAGE), u32(faults.WRITING | faults.USER))
                store(space, BASE + 10 * PAGE, 77)
            elif change == "file":
                space.map(BASE + 8 * PAGE, PAGE, RW, MapFlag.PRIVATE | MapFlag.FIXED, file, 0)  # type: ignore[arg-type]
        return clear()

    monkeypatch.setattr(buddy, "allocate_zeroed", meanwhile)
    assert faults.resolve(space, BASE + 8 * PAGE, faults.WRITING | faults.USER) == faults.RESOLVED
    there = [index for index in range(64) if space.page_table.get(BASE + index * PAGE)]
    assert there == {"nothing": [*range(16)], "unmapped": [*range(4)], "read-only": [*range(8)],
                     "shorter": [*range(11)], "filled": [*range(11)], "file": [*range(8)]}[change]
    assert load(space, BASE + 10 * PAGE) == {"unmapped": None, "filled": 77}.get(change, 0)
    assert (load(space, BASE + 8 * PAGE)) == {"unmapped": None, "file": ord("g")}.get(change, 0)
    space.__del__()
    file.cache.truncate(u64(0))


@pytest.mark.parametrize("busy", [False, True])
def test_pages_are_unmapped_beside_faults_of_other_threads(busy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where several processors use the memory, and there is anything to be taken out."""
    boot()
    space = parent_of(3)
    space.map(BASE + 128 * PAGE, 2 * PAGE, RW, FIXED, None, 0)
    assert store(space, BASE + 128 * PAGE, 5)
    monkeypatch.setattr(machine.paging.PageTable, "is_busy", lambda table: busy)
    unmap, held = pages.unmap, []

    def look(of: AddressSpace, start: int, end: int) -> None:
        shared = space.lock.try_read()
        if shared:
            assert space.areas.find(u64(BASE + PAGE)) is None
            assert store(space, BASE + 129 * PAGE, 6), "others may fault"
            space.lock.release_read()
        held.append(shared)
        unmap(of, start, end)

    monkeypatch.setattr(pages, "unmap", look)
    space.unmap(BASE - 8 * PAGE, 80 * PAGE)
    assert held == [busy] and space.lock.state.load() == 0
    assert load(space, BASE) is None and space.resident_private.load() == 1 + busy and space.total_pages == 2
    assert load(space, BASE + 128 * PAGE) == 5
    space.unmap(BASE + 129 * PAGE, PAGE)  # a part: not alone
    space.map(BASE, 4 * PAGE, RW, FIXED, None, 0)
    space.unmap(BASE, 4 * PAGE)  # nothing there
    assert held == [busy, False, False]


@pytest.mark.parametrize("busy", [False, True])
def test_pages_are_given_back_when_there_is_no_table_for_them(busy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    boot()
    space = AddressSpace()
    space.map(BASE, 64 * PAGE, RW, FIXED, None, 0)
    for index in range(4):
        assert store(space, BASE + index * PAGE, 1)
    free = buddy.free_pages_count()

    def reserve(table: object, va: int) -> None:
        raise MemoryError

    monkeypatch.setattr(machine.paging.PageTable, "is_busy", lambda table: busy)
    monkeypatch.setattr(machine.paging.PageTable, "reserve", reserve)
    with pytest.raises(MemoryError):
        faults.resolve(space, BASE + 4 * PAGE, faults.WRITING | faults.USER)
    assert buddy.free_pages_count() == free and space.lock.state.load() == 0


def test_only_a_walk_brings_pages_in_ahead() -> None:
    boot()
    space = AddressSpace()
    space.map(BASE, 64 * PAGE, RW, FIXED, None, 0)
    for index in (0, 1, 3, 4, 7, 6, 5, 20, 21):
        assert store(space, BASE + index * PAGE, 1)
    assert space.resident_private.load() == 9
    assert store(space, BASE + 22 * PAGE, 1)  # the third in a row
    assert space.resident_private.load() == 11
    advice.advise(space, u64(BASE), u64(64 * PAGE), u64(Madvise.RANDOM))
    for index in range(30, 40):
        assert store(space, BASE + index * PAGE, 1)
    assert space.resident_private.load() == 21


def test_pages_ahead_are_left_out_when_memory_ends() -> None:
    boot()
    space = AddressSpace()
    space.map(BASE, 64 * PAGE, RW, FIXED, None, 0)
    for index in (0, 1, 2, 4):
        assert store(space, BASE + index * PAGE, 1)
    taken = []
    while not buddy.is_low():
        taken.append(buddy.allocate_page())
    before = space.resident_private.load()
    assert store(space, BASE + 8 * PAGE, 1)
    assert space.resident_private.load() == before + 1
    for pfn in taken:
        frame.put_page(pfn)


def test_the_last_owner_of_a_page_keeps_it_instead_of_copying() -> None:
    boot()
    parent = AddressSpace()
    parent.map(BASE, PAGE, RW, FIXED, None, 0)
    assert store(parent, BASE, 1)
    before = int(parent.page_table.get(BASE)) >> 12
    child = parent.fork(u64(0), u64(0))
    assert store(child, BASE, 2) and load(parent, BASE) == 1
    assert store(parent, BASE, 3)
    assert int(parent.page_table.get(BASE)) >> 12 == before and load(child, BASE) == 2


def shows(space: AddressSpace, index: int) -> tuple[int, bool]:
    """The frame and whether it can be written to."""
    entry = space.page_table.get(u64(BASE + index * PAGE))
    return int(machine.paging.entry_pfn(entry)), bool(machine.paging.entry_writable(entry))


def parent_of(pages: int) -> AddressSpace:
    """An address space that has written to so many pages."""
    space = AddressSpace()
    space.map(BASE, 64 * PAGE, RW, FIXED, None, 0)
    for index in reversed(range(pages)):  # none is brought in ahead
        assert store(space, BASE + index * PAGE, index + 1)
    return space


def test_the_page_of_the_stack_is_copied_at_once() -> None:
    """Neither faults on its next write. What others still have, or is no private page, is shared like the rest."""
    boot()
    parent = parent_of(3)
    child = parent.fork(u64(BASE + 2 * PAGE), u64(0))  # what is pushed first lies below
    assert shows(parent, 0) == shows(child, 0) and not shows(parent, 0)[1]
    assert shows(parent, 1)[1] and shows(child, 1)[1] and shows(parent, 1) != shows(child, 1)
    assert load(child, BASE + PAGE) == 2 and store(child, BASE + PAGE, 9) and load(parent, BASE + PAGE) == 2
    second = parent.fork(u64(BASE + PAGE), u64(0))
    assert shows(second, 0)[1] and not shows(parent, 0)[1], "the first child has it too"
    assert second.resident_private.load() == parent.resident_private.load()
    third = parent.fork(u64(BASE + 64 * PAGE), u64(0))
    assert shows(third, 63) == (0, False)


def test_pages_that_both_write_to_after_each_fork_are_copied_at_once() -> None:
    """Those cost neither a fault from the second time on. A thread that writes meanwhile would be seen writing to one
    page and not to another that it wrote to before."""
    boot()
    parent = parent_of(20)
    first = parent.fork(u64(0), u64(0))
    assert not any(shows(space, index)[1] for space in (parent, first) for index in range(20))
    for index in (3, 5, 7):
        assert store(parent, BASE + index * PAGE, 99)  # copied: the child has the other
    assert store(first, BASE + 9 * PAGE, 98) and store(parent, BASE + 9 * PAGE, 97)
    first.__del__()
    assert store(parent, BASE + 11 * PAGE, 96)  # kept
    second = parent.fork(u64(0), u64(0))
    for index in range(20):
        ours, theirs = shows(parent, index), shows(second, index)
        assert (ours[1], theirs[1], ours[0] != theirs[0]) == ((index in (3, 5, 7, 9),) * 3)
        assert load(second, BASE + index * PAGE) == load(parent, BASE + index * PAGE)
    assert store(second, BASE + 3 * PAGE, 50) and load(parent, BASE + 3 * PAGE) == 99
    assert store(parent, BASE + 5 * PAGE, 51) and load(second, BASE + 5 * PAGE) == 99
    alone = second.fork(u64(0), u64(0))
    assert [index for index in range(20) if shows(alone, index)[1]] == [3, 5, 7, 9]
    second.is_shared.store(True)
    with_others = second.fork(u64(0), u64(0))
    assert not any(shows(with_others, index)[1] for index in range(20))


def test_pages_that_are_written_to_no_more_are_shared_again() -> None:
    boot()
    parent = parent_of(3)
    child = parent.fork(u64(0), u64(0))
    for index in range(3):
        assert store(parent, BASE + index * PAGE, 7) and store(child, BASE + index * PAGE, 8)
    third = parent.fork(u64(0), u64(0))
    assert all(shows(third, index)[1] and shows(parent, index)[1] for index in range(3))
    assert touch_by_processor(parent, 1)
    fourth = parent.fork(u64(0), u64(0))
    assert [shows(fourth, index)[1] for index in range(3)] == [False, True, False]
    assert store(parent, BASE, 9) and load(fourth, BASE) == load(third, BASE) == 7


def touch_by_processor(space: AddressSpace, index: int) -> bool:
    """What the processor does when it writes through an entry that allows it."""
    va = u64(BASE + index * PAGE)
    entry = space.page_table.get(va)
    space.page_table.set_entry(va, machine.paging.with_write(entry))
    return bool(machine.paging.entry_writable(entry))


@pytest.mark.parametrize("written", [1, 32, 33])
def test_fork_makes_processors_forget_what_they_may_no_longer_write_to(
    written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, and where it is little, no more."""
    boot()
    parent = parent_of(written)
    forgotten: list[tuple[int, int]] = []
    monkeypatch.setattr(machine.paging, "shoot_down", lambda table, start, end: forgotten.append((start, end)))

    def forgot(index: int) -> bool:
        return any(start <= BASE + index * PAGE < end for start, end in forgotten)

    child = parent.fork(u64(0), u64(0))
    assert all(forgot(index) for index in range(written)) and len(forgotten) == (written if written <= 32 else 1)
    assert child.resident_private.load() == written
    assert store(parent, BASE, 1)
    forgotten.clear()
    parent.is_shared.store(True)
    parent.fork(u64(0), u64(0))
    assert forgotten == [(BASE, BASE + PAGE)], "the others could not be written to before"
    assert store(parent, BASE, 2)
    parent.is_shared.store(False)
    forgotten.clear()
    here: list[int] = []
    monkeypatch.setattr(machine.paging, "flush_page", lambda va: here.append(int(va)))
    parent.fork(u64(0), u64(0))
    assert shows(parent, 0)[1] and (forgotten, here) == ([], [BASE]), "here only, and only that it was dirty"


def test_pages_are_not_copied_at_once_when_memory_is_short() -> None:
    boot()
    parent = parent_of(2)
    first = parent.fork(u64(0), u64(0))
    assert store(first, BASE, 1) and store(parent, BASE, 2)
    taken = []
    while not buddy.is_low():
        taken.append(buddy.allocate_page())
    child = parent.fork(u64(BASE + PAGE), u64(0))
    assert shows(parent, 0) == shows(child, 0) and not shows(child, 0)[1]
    for pfn in taken:
        frame.put_page(pfn)


def test_the_pages_around_the_code_that_goes_on_are_there_at_once() -> None:
    """Those that the parent has, of the area of a file, and no others."""
    boot()
    file = cached(File(b"d" * (40 * PAGE)))
    parent = AddressSpace()
    parent.map(BASE + 4 * PAGE, 36 * PAGE, Prot.READ, MapFlag.PRIVATE | MapFlag.FIXED, file, 0)  # type: ignore[arg-type]
    for index in (5, 30):
        assert faults.resolve(parent, BASE + index * PAGE, 4) == faults.RESOLVED
    child = parent.fork(u64(0), u64(BASE + 7 * PAGE))
    there = [index for index in range(48) if child.page_table.get(BASE + index * PAGE)]
    assert there == list(range(4, 16)) and child.file_pages == 12
    assert all(child.page_table.get(BASE + i * PAGE) == parent.page_table.get(BASE + i * PAGE) for i in there)
    assert parent.fork(u64(0), u64(BASE)).file_pages == 0
    file.cache.truncate(u64(0))
    assert (parent.file_pages, child.file_pages) == (0, 0)


def test_a_private_file_mapping_never_writes_to_the_file() -> None:
    boot()
    file = File(b"a" * (3 * PAGE))
    space = AddressSpace()
    space.map(BASE, 3 * PAGE, RW, MapFlag.PRIVATE | MapFlag.FIXED, file, 0)  # type: ignore[arg-type]
    assert load(space, BASE + PAGE) == ord("a")
    assert store(space, BASE + PAGE, 7) and store(space, BASE + 2 * PAGE, 8)
    child = space.fork(u64(0), u64(0))
    assert load(child, BASE + PAGE) == 7 and load(child, BASE + 2 * PAGE) == 8 and load(child, BASE) == ord("a")
    pfn = file.cache.lookup(1)
    assert bytes(frame.contents(pfn)[0:1]) == b"a"
    frame.put_page(pfn)


def test_one_read_fault_maps_the_cached_pages_around() -> None:
    boot()
    file = cached(File(b"b" * (20 * PAGE)))
    space = AddressSpace()
    space.map(BASE, 20 * PAGE, Prot.READ, MapFlag.SHARED | MapFlag.FIXED, file, 0)  # type: ignore[arg-type]
    assert faults.resolve(space, BASE + 5 * PAGE, 4) == faults.RESOLVED
    assert space.file_pages == 16
    assert space.page_table.get(BASE + 15 * PAGE) and not space.page_table.get(BASE + 16 * PAGE)
    assert file.reads == 20


def test_stores_through_a_shared_mapping_reach_the_file_and_are_noticed_again_after_write_back() -> None:
    boot()
    file = File(b"c" * PAGE, backed=True)
    space = AddressSpace()
    space.map(BASE, PAGE, RW, MapFlag.SHARED | MapFlag.FIXED, file, 0)  # type: ignore[arg-type]
    assert load(space, BASE) == ord("c")
    for value in (1, 2):
        assert store(space, BASE, value)
        file.cache.write_back(0, 1)
        assert file.written[0][0] == value
    file.written.clear()
    file.cache.write_back(0, 1)
    assert not file.written


def test_truncate_takes_pages_out_of_mappings_and_clears_the_tail() -> None:
    boot()
    file = File(b"d" * (2 * PAGE))
    space = AddressSpace()
    space.map(BASE, 2 * PAGE, Prot.READ, MapFlag.SHARED | MapFlag.FIXED, file, 0)  # type: ignore[arg-type]
    assert load(space, BASE + PAGE) == ord("d") and load(space, BASE) == ord("d")
    file.size = 100
    file.cache.truncate(100)
    assert faults.resolve(space, BASE + PAGE, 4) == faults.BEYOND_END
    assert load(space, BASE + 99) == ord("d") and load(space, BASE + 100) == 0
    assert file.cache.page_count() == 1


def test_a_stack_grows_down_to_its_limit_and_not_into_its_neighbour() -> None:
    task = boot()
    space = AddressSpace()
    top = BASE + 0x1000_0000
    space.map(top - PAGE, PAGE, RW, FIXED | MapFlag.GROWSDOWN, None, 0)
    assert store(space, top - 5 * PAGE, 1)
    vma = space.find(u64(top - PAGE))
    assert vma is not None and vma.start == top - 5 * PAGE
    task.group.limits.soft[3] = 8 * PAGE
    assert not store(space, top - 9 * PAGE, 1) and store(space, top - 8 * PAGE, 1)
    task.group.limits.soft[3] = 1 << 40
    space.map(top - 400 * PAGE, PAGE, RW, FIXED, None, 0)
    assert store(space, top - 140 * PAGE, 1) and not store(space, top - 200 * PAGE, 1)


def test_addresses_are_chosen_downwards_and_hints_are_kept() -> None:
    boot()
    space = AddressSpace()
    first = space.map(0, 3 * PAGE, RW, ANONYMOUS, None, 0)
    second = space.map(0, PAGE, Prot.READ, ANONYMOUS, None, 0)
    assert first == space.map_top - 3 * PAGE and second == first - PAGE
    assert space.map(BASE + 5, PAGE, RW, ANONYMOUS, None, 0) == BASE
    with pytest.raises(FileExistsError):
        space.map(BASE, PAGE, RW, ANONYMOUS | MapFlag.FIXED_NOREPLACE, None, 0)
    space.unmap(first, 3 * PAGE)
    assert space.map(0, 3 * PAGE, RW, ANONYMOUS, None, 0) == first


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(1, 6), st.booleans()), max_size=50))
def test_the_highest_hole_is_chosen_whatever_was_searched_before(script: list[tuple[bool, int, int, bool]]) -> None:
    boot(600)
    space = AddressSpace()
    exhaustive = mapping._choose_below  # pyright: ignore[reportPrivateUsage]
    for maps, slot, number, readable in script:
        if maps:
            size, prot = u64(number * PAGE), Prot.READ if readable else Prot.NONE
            highest = exhaustive(space, size, u64(mapping.LOWEST), space.map_top)
            assert space.map(u64(0), size, u64(prot), u64(ANONYMOUS), None, u64(0)) == highest
        else:
            space.unmap(u64(space.map_top - (slot + 1) * PAGE), u64(number * PAGE))


def test_neighbours_of_one_kind_are_one_area() -> None:
    boot()
    space = AddressSpace()
    for index in range(5):
        space.map(BASE + index * PAGE, PAGE, RW, FIXED, None, 0)
    assert len(space.areas) == 1
    space.protect(BASE + PAGE, PAGE, Prot.READ)
    assert len(space.areas) == 3
    space.protect(BASE + PAGE, PAGE, RW)
    assert len(space.areas) == 1


@pytest.mark.parametrize(
    ("address", "length", "prot", "flags", "expected"),
    [
        (0, 0, RW, ANONYMOUS, errno.EINVAL),
        (0, PAGE, RW, MapFlag.ANONYMOUS, errno.EINVAL),
        (BASE + 1, PAGE, RW, FIXED, errno.EINVAL),
        (0x1000, PAGE, RW, FIXED, errno.EPERM),
        (0, PAGE, RW, MapFlag.SHARED_VALIDATE | MapFlag.ANONYMOUS, errno.EINVAL),
    ],
)
def test_bad_requests_are_refused_as_the_manual_says(
    address: int, length: int, prot: int, flags: int, expected: int
) -> None:
    boot()
    with pytest.raises(OSError) as caught:
        AddressSpace().map(address, length, prot, flags, None, 0)
    assert caught.value.errno == expected


def test_limits_hold() -> None:
    task = boot()
    space = AddressSpace()
    task.group.limits.soft[9] = 10 * PAGE
    space.map(0, 6 * PAGE, RW, ANONYMOUS, None, 0)
    with pytest.raises(MemoryError):
        space.map(0, 6 * PAGE, RW, ANONYMOUS, None, 0)
    task.group.limits.soft[9] = 1 << 60
    with pytest.raises(MemoryError):
        space.map(0, 1 << 30, RW, ANONYMOUS, None, 0)


def test_moving_an_area_keeps_its_contents() -> None:
    boot()
    space = AddressSpace()
    old = space.map(BASE, 3 * PAGE, RW, FIXED, None, 0)
    for index in range(3):
        assert store(space, old + index * PAGE, index + 1)
    space.map(BASE + 3 * PAGE, PAGE, Prot.READ, FIXED, None, 0)
    assert remap.remap(space, u64(old), u64(3 * PAGE), u64(2 * PAGE), u64(0), u64(0)) == old
    with pytest.raises(MemoryError):
        space.map(BASE + 2 * PAGE, PAGE, Prot.READ, FIXED, None, 0)
        remap.remap(space, u64(old), u64(2 * PAGE), u64(9 * PAGE), u64(0), u64(0))
    new = remap.remap(space, u64(old), u64(2 * PAGE), u64(9 * PAGE), u64(1), u64(0))
    assert new != old and [load(space, new + i * PAGE) for i in range(3)] == [1, 2, 0]
    assert load(space, old) is None


def test_the_break_moves_and_stops_at_a_neighbour() -> None:
    boot()
    space = AddressSpace()
    space.set_break_start(u64(BASE + 10))
    start = space.brk(u64(0))
    assert start == BASE + PAGE and space.brk(u64(start + 3 * PAGE)) == start + 3 * PAGE
    assert store(space, start + 2 * PAGE, 9)
    space.map(start + 8 * PAGE, PAGE, RW, FIXED, None, 0)
    assert space.brk(u64(start + 9 * PAGE)) == start + 3 * PAGE
    assert space.brk(u64(start)) == start and load(space, start) is None


@pytest.fixture
def no_shrinkers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reclaim finds pages only: other tests' names are not in its way."""

    monkeypatch.setattr(reclaim, "shrinkers", [])


@pytest.mark.usefixtures("no_shrinkers")
def test_clean_pages_of_files_are_reclaimed_and_read_again() -> None:
    boot()
    file = cached(File(b"e" * (40 * PAGE), backed=True))
    kept = file.cache.read(3)
    file.cache.mark_dirty(file.cache.lookup(5))
    freed = reclaim.free_some(u64(60)) + reclaim.free_some(u64(60))
    assert freed == 38 and file.cache.page_count() == 2
    frame.put_page(kept)
    frame.put_page(file.cache.read(20))
    assert file.reads == 41


@pytest.mark.usefixtures("no_shrinkers")
def test_mapped_pages_that_nobody_touches_are_taken_out_and_come_back() -> None:
    boot()
    file = File(b"f" * (8 * PAGE), backed=True)
    space = AddressSpace()
    space.map(BASE, 8 * PAGE, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.FIXED, file, 0)  # type: ignore[arg-type]
    for index in range(8):
        assert load(space, BASE + index * PAGE) == ord("f")
    assert store(space, BASE, 1)
    assert reclaim.free_some(u64(20)) + reclaim.free_some(u64(20)) == 1, "only the page that has a private copy is free"
    assert reclaim.free_mapped(u64(20)) == 7 and space.file_pages == 0
    assert load(space, BASE) == 1 and load(space, BASE + 7 * PAGE) == ord("f")


def mapped(file: File, pages: int) -> AddressSpace:
    """An address space that shows the file's first pages, all brought in."""
    space = AddressSpace()
    space.map(BASE, pages * PAGE, Prot.READ, MapFlag.SHARED | MapFlag.FIXED, file, 0)  # type: ignore[arg-type]
    for index in range(pages):
        assert load(space, BASE + index * PAGE) == ord("f")
    return space


def frame_of(file: File, index: int) -> u64:
    """The page at index, without a reference."""
    pfn: u64 = file.cache.lookup(u64(index))
    assert pfn != 0
    frame.put_page(pfn)
    return pfn


def test_truncate_holds_pages_that_entries_may_show_until_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    boot()
    file = File(b"f" * (4 * PAGE))
    spaces = [mapped(file, 2), mapped(file, 2)]
    frame.put_page(file.cache.read(3))
    numbers = [frame_of(file, index) for index in (0, 1, 3)]
    assert [frame.test_flags(pfn, frame.MAPPED) for pfn in numbers] == [True, True, False]
    assert [frame.refcount(pfn) for pfn in numbers] == [1, 1, 1], "entries do not count"
    walk = file_mappings.unmap_range
    held: list[int] = []

    def look_and_walk(cache: PageCache, first: u64, end: u64) -> None:
        held.extend(int(frame.refcount(pfn)) for pfn in numbers[:2])
        walk(cache, first, end)

    monkeypatch.setattr(file_mappings, "unmap_range", look_and_walk)
    before = buddy.free_pages_count()
    file.size = 0
    assert file.cache.truncate(u64(0)) == 3
    assert held == [1, 1]
    assert [space.file_pages for space in spaces] == [0, 0]
    assert buddy.free_pages_count() == before + 3


@pytest.mark.usefixtures("no_shrinkers")
def test_what_ended_programs_had_mapped_is_reclaimed() -> None:
    boot()
    file = File(b"f" * (3 * PAGE), backed=True)
    space = mapped(file, 3)
    for _ in range(2):
        assert reclaim.free_some(u64(20)) == 0, "something shows each"
    space.unmap(BASE, 2 * PAGE)
    assert all(frame.test_flags(frame_of(file, index), frame.MAPPED) for index in range(3))
    freed = reclaim.free_some(u64(20)) + reclaim.free_some(u64(20))
    assert freed == 2 and file.cache.page_count() == 1
    file.cache.invalidate(u64(0), u64(3))
    assert load(space, BASE + 2 * PAGE) == ord("f") and file.reads == 3
    space.unmap(BASE, 3 * PAGE)
    file.cache.invalidate(u64(0), u64(3))
    assert file.cache.page_count() == 0


def test_a_page_that_is_mapped_while_somebody_looks_stays_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """One who looks finds nothing in the first area; then a fault maps the page there."""

    boot()
    file = File(b"f" * PAGE, backed=True)
    later = mapped(file, 1)
    other = mapped(file, 1)
    for space in (later, other):
        advice.advise(space, u64(BASE), u64(PAGE), u64(4))
    pfn = frame_of(file, 0)
    first = file.cache.sharers
    go_on = file_mappings.next_area

    def touch_then_go_on(vma: Vma) -> Vma | None:
        if vma is first:
            assert load(vma.space, BASE) == ord("f")
        return go_on(vma)

    with monkeypatch.context() as patched:
        patched.setattr(file_mappings, "next_area", touch_then_go_on)
        trimming.settle(file.cache, pfn, False)
    assert frame.test_flags(pfn, frame.MAPPED)
    for space in (later, other):
        advice.advise(space, u64(BASE), u64(PAGE), u64(4))
    trimming.settle(file.cache, pfn, False)
    assert not frame.test_flags(pfn, frame.MAPPED)


@pytest.mark.usefixtures("no_shrinkers")
def test_reclaim_goes_through_so_many_areas_unless_it_may_take_pages_out(monkeypatch: pytest.MonkeyPatch) -> None:
    boot()
    file = File(b"f" * PAGE, backed=True)
    spaces = [mapped(file, 1) for _ in range(3)]
    for space in spaces:
        advice.advise(space, u64(BASE), u64(PAGE), u64(4))
    monkeypatch.setattr(trimming, "ENOUGH", 2)
    assert [reclaim.free_some(u64(5)) for _ in range(2)] == [0, 0]
    assert reclaim.free_mapped(u64(5)) == 1
    assert load(spaces[0], BASE) == ord("f")
    spaces.pop().unmap(BASE, PAGE)
    for space in spaces:
        advice.advise(space, u64(BASE), u64(PAGE), u64(4))
    assert reclaim.free_some(u64(5)) + reclaim.free_some(u64(5)) == 1


def test_what_was_mapped_once_is_invalidated_unless_somebody_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    boot()
    file = File(b"f" * (2 * PAGE), backed=True)
    mapped(file, 2).unmap(BASE, 2 * PAGE)
    is_shown = trimming.is_shown
    counts: list[int] = []

    def count_and_look(cache: PageCache, pfn: u64) -> bool:
        counts.append(int(frame.refcount(pfn)))
        return is_shown(cache, pfn)

    monkeypatch.setattr(trimming, "is_shown", count_and_look)
    file.cache.invalidate(u64(0), u64(1))
    assert (counts, file.cache.page_count()) == ([2], 1)
    held = file.cache.read(1)
    file.cache.invalidate(u64(0), u64(2))
    assert file.cache.page_count() == 1, "somebody uses it"
    frame.put_page(held)
    file.cache.invalidate(u64(0), u64(2))
    assert file.cache.page_count() == 0


def test_what_was_stored_through_a_shared_mapping_is_written_when_it_goes() -> None:
    boot()
    file = File(b"f" * (4 * PAGE), backed=True)
    space = AddressSpace()
    shared = MapFlag.SHARED | MapFlag.FIXED
    space.map(BASE, 4 * PAGE, Prot.READ | Prot.WRITE, shared, file, 0)  # type: ignore[arg-type]
    assert store(space, BASE + PAGE, 7) and load(space, BASE) == ord("f")
    assert file.written == {}
    space.unmap(BASE + PAGE, PAGE)
    assert {index: data[0] for index, data in file.written.items()} == {1: 7}
    assert store(space, BASE + 2 * PAGE, 8)
    space.__del__()
    assert {index: data[0] for index, data in file.written.items()} == {1: 7, 2: 8}
    space.complete = False


def test_moving_a_view_beyond_what_a_file_can_hold_is_refused_not_a_panic() -> None:
    boot()
    file = File(b"f" * PAGE)
    space = AddressSpace()
    top = (1 << 63) - PAGE
    space.map(BASE, PAGE, Prot.READ, MapFlag.SHARED | MapFlag.FIXED, file, top)  # type: ignore[arg-type]
    with pytest.raises(OSError) as refused:
        remap.remap(space, u64(BASE), u64(0), u64(1 << 46), u64(1), u64(0))
    assert refused.value.errno == errno.EINVAL


@pytest.mark.parametrize("old", [(1 << 64) - PAGE, 1 << 47, BASE])
def test_remapping_what_is_not_mapped_is_efault(old: int) -> None:
    boot()
    space = AddressSpace()
    with pytest.raises(OSError) as refused:
        remap.remap(space, u64(old), u64(PAGE), u64(2 * PAGE), u64(1), u64(0))
    assert refused.value.errno == errno.EFAULT


FILE_STEPS = ["split", "join", "cut", "grow", "touch", "move", "fork"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(FILE_STEPS), st.integers(0, 15), st.integers(1, 255)), max_size=30))
def test_truncate_finds_every_mapped_page_however_areas_were_cut(script: list[tuple[str, int, int]]) -> None:
    boot(900)
    file = File(b"")
    file.size = 16 * PAGE
    space = AddressSpace()
    space.map(BASE, 16 * PAGE, RW, MapFlag.SHARED | MapFlag.FIXED, file, 0)  # type: ignore[arg-type]
    private = BASE + 64 * PAGE
    space.map(private, 16 * PAGE, RW, MapFlag.PRIVATE | MapFlag.FIXED, file, 0)  # type: ignore[arg-type]
    children: list[AddressSpace] = []
    for what, page, value in script:
        if what == "split":
            space.protect(BASE + page * PAGE, PAGE, Prot.READ)
            space.protect(private + page * PAGE, PAGE, Prot.READ)
        elif what == "join":
            space.protect(BASE, 16 * PAGE, RW)
            space.protect(private, 16 * PAGE, RW)
        elif what in ("cut", "grow"):
            file.size = page * PAGE if what == "cut" else 16 * PAGE
            file.cache.truncate(u64(file.size))
        elif what == "touch":
            for base in (BASE, private):
                store(space, base + page * PAGE, value)
                load(space, base + page * PAGE)
        elif what == "move":
            fresh = private + 32 * PAGE
            space.protect(private, 16 * PAGE, RW)
            remap.remap(space, u64(private), u64(16 * PAGE), u64(16 * PAGE), u64(3), u64(fresh))
            private = fresh if fresh < BASE + 4096 * PAGE else private
        elif len(children) < 3:
            children.append(space.fork(u64(0), u64(private + page * PAGE)))
        for each in (space, *children):
            for vma in each.areas:
                for va, _ in each.page_table.entries(vma.start, vma.end):
                    assert vma.index_of(va) < file.size // PAGE, "a page beyond the end is still mapped"
    for each in (space, *children):
        each.__del__()
        assert each.anonymous_pages == 0 and each.file_pages == 0
        each.complete = False
    assert file.cache.sharers is None


def test_one_empty_table_is_kept_for_the_next_time() -> None:
    """A small hole that is filled and dug again frees no table; one elsewhere gives the one kept before back, unless
    that is in use again; a large one gives back its tables."""
    boot(2000)
    space = AddressSpace()
    span = 2 << 20

    def dig(number: int, length: int = PAGE, leave: bool = False) -> int:
        address = space.map(BASE + number * span, length, RW, FIXED, None, 0)
        for at in range(address, address + length, span):
            assert store(space, at, 1)
        if not leave:
            space.unmap(u64(address), u64(length))
        return int(space.page_table.tables)

    least = dig(0)
    assert [dig(0), dig(0)] == [least, least]
    assert dig(1) == least, "the other one went"
    assert dig(1, leave=True) == least
    assert dig(2) == least + 1, "that one serves again"
    space.unmap(u64(BASE + span), u64(PAGE))
    assert space.page_table.tables == least
    assert dig(4, 3 * span) == least
    assert dig(5) == least
