# SPDX-License-Identifier: Apache-2.0
"""Buddy and slab allocators against sets of what is handed out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import all_frames_are_free, boot

from kaa.kernel.arch import machine
from kaa.kernel.mm import boot_memory, buddy, fault_injection, frame, slab
from kaa.kernel.sched import cpu
from kaa.kernel.sched.cpu import Cpu
from kaa.lang import Array, u32, unsafe


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 1000)), max_size=80))
def test_blocks_never_overlap_and_all_come_back(script: list[tuple[bool, int, int]]) -> None:
    boot(400)
    held: list[tuple[int, int]] = []
    used: set[int] = set()
    for take, order, choice in script:
        if take:
            try:
                pfn = int(buddy.allocate_pages(order))
            except MemoryError:
                continue
            block = set(range(pfn, pfn + (1 << order)))
            assert pfn % (1 << order) == 0 and not block & used and frame.refcount(pfn) == 1
            used |= block
            held.append((pfn, order))
        elif held:
            pfn, order = held.pop(choice % len(held))
            used -= set(range(pfn, pfn + (1 << order)))
            buddy.free_pages(pfn, order)
        assert buddy.free_pages_count() == buddy.total_pages() - 1 - len(used)
    for pfn, order in held:
        buddy.free_pages(pfn, order)
    assert all_frames_are_free()
    buddy.drain_here()
    large = [order for order in range(11) if buddy.zone.counts[order]]
    assert max(large) >= 7, "free blocks were not merged"


def test_a_run_gives_back_what_it_does_not_need() -> None:
    boot(400)
    first = buddy.allocate_run(37)
    assert all_frames_are_free(37)
    buddy.free_run(first, 37)
    assert all_frames_are_free()


def test_memory_ends_with_memory_error_and_keeps_a_reserve() -> None:
    boot(300)
    taken: list[int] = []
    with pytest.raises(MemoryError):
        while True:
            taken.append(buddy.allocate_page())
    assert buddy.free_pages_count() == buddy.zone.reserve.load()
    for pfn in taken:
        frame.put_page(pfn)
    assert all_frames_are_free()


def test_the_first_mebibyte_is_used_last() -> None:
    boot(300)
    buddy.add_memory(0, 0x9F)
    before = buddy.free_pages_count()
    taken = [buddy.allocate_page() for _ in range(before - 0x9E - buddy.zone.reserve.load())]
    assert min(taken) >= 0x100 and buddy.zone.aside.load() == 0x9E
    assert buddy.allocate_page() < 0x100 and buddy.zone.aside.load() == 0
    assert buddy.free_pages_count() == before - len(taken) - 1


def test_ranges_of_the_memory_map_are_cut_around_what_is_reserved() -> None:
    ranges = boot_memory.usable
    ranges.__init__()  # type: ignore[misc]
    boot_memory.add(0x100, 0x9F000)
    boot_memory.add(0x10_0000, 0x80_0000)
    boot_memory.add(0x20_0000, 0x30_0000)
    boot_memory.reserve(0x20_0800, 0x40_0001)
    found = [(int(ranges.starts[i]), int(ranges.ends[i])) for i in range(ranges.count)]
    assert found == [(0x1000, 0x9F000), (0x10_0000, 0x20_0000), (0x40_1000, 0x80_0000)]
    assert boot_memory.take(0x2000, 1 << 40) == 0x1F_E000


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9000), st.integers(0, 1000)), max_size=100))
def test_buffers_are_zeroed_disjoint_and_come_back(script: list[tuple[bool, int, int]]) -> None:
    boot(500)
    held: dict[int, int] = {}
    for take, size, choice in script:
        if take:
            where = int(slab.buffer_alloc(size))
            assert where and where % 16 == 0
            assert unsafe.memory.read(where, size) == bytes(size)
            assert all(where + size <= a or a + s <= where for a, s in held.items())
            unsafe.memory.write(where, b"\xa5" * size)
            held[where] = size
        elif held:
            where = sorted(held)[choice % len(held)]
            slab.buffer_free(where, held.pop(where))
    for where, size in held.items():
        slab.buffer_free(where, size)
    slab.drain_here()
    kept = sum(1 for cache in slab.caches if cache.active != 0)
    assert all_frames_are_free(kept)


def test_the_nth_allocation_fails_once() -> None:
    task = boot(300)
    assert slab.buffer_alloc(32)
    fault_injection.set_fail_nth(4)
    # A large buffer counts twice: as a buffer, and as the frames it is made of.
    assert slab.buffer_alloc(32) and slab.buffer_alloc(5000)
    assert not slab.buffer_alloc(32)
    assert slab.buffer_alloc(32) and task.fail_nth == 0 and not fault_injection.armed()


class Processors:
    """Two simulated processors: which one runs is what machine.percpu.here() says."""

    def __init__(self) -> None:
        self.second = Cpu(u32(1))
        cpu.all.table[1] = self.second
        machine.percpu.areas.count = u32(2)

    def run_on(self, number: int) -> None:
        machine.percpu.simulated["cpu"] = unsafe.address_of(self.second if number else cpu.boot)

    def close(self) -> None:
        self.run_on(0)
        slab.drain_here()
        self.run_on(1)
        slab.drain_here()
        buddy.drain_here()
        self.run_on(0)
        buddy.drain_here()
        machine.percpu.areas.count = u32(1)
        cpu.all.table[1] = None


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.booleans(), st.integers(0, 2100), st.integers(0, 1000)), max_size=150))
def test_what_one_processor_made_another_may_give_back(script: list[tuple[int, bool, int, int]]) -> None:
    boot(700)
    processors = Processors()
    before = slab.buffers()
    held: list[tuple[int, int]] = []
    for number, take, size, choice in script:
        processors.run_on(number)
        if take:
            where = int(slab.buffer_alloc(size)) if size else int(buddy.allocate_page())
            assert where and all(where != other for _, other in held)
            held.append((size, where))
        elif held:
            size, where = held.pop(choice % len(held))
            if size:
                slab.buffer_free(where, size)
            else:
                buddy.free_page(where)
        live = [size for size, _ in held if size]
        assert slab.buffers() == (before[0] + len(live), before[1] + sum(live))
    for size, where in held:
        if size:
            slab.buffer_free(where, size)
        else:
            buddy.free_page(where)
    processors.close()
    assert all_frames_are_free(sum(1 for cache in slab.caches if cache.active != 0))
    assert buddy.zone.free.load() == buddy.free_pages_count()


def test_a_processor_keeps_few_objects_and_frames() -> None:
    boot(700)
    frames = [buddy.allocate_page() for _ in range(200)]
    for pfn in frames:
        buddy.free_page(pfn)
        assert cpu.boot.pages.depth() <= 64
    where = [slab.buffer_alloc(16) for _ in range(300)]
    for item in where:
        slab.buffer_free(item, 16)
        assert cpu.boot.objects.counts[0] <= 64
    taken = [int(buddy.allocate_page()) for _ in range(100)]
    buddy.free_many(_slice(taken))
    assert cpu.boot.pages.depth() <= 64
    slab.drain_here()
    assert all_frames_are_free(sum(1 for cache in slab.caches if cache.active != 0))


def test_a_processor_keeps_more_frames_where_there_is_more_memory() -> None:
    boot(700)
    assert buddy.frames_to_keep() == 64
    boot(64 * 300)
    assert buddy.frames_to_keep() == 256
    frames = [int(buddy.allocate_page()) for _ in range(600)]
    most = 0
    for pfn in frames:
        buddy.free_page(pfn)
        most = max(most, cpu.boot.pages.depth())
    assert most == 256
    kept = [int(buddy.allocate_page()) for _ in range(cpu.boot.pages.depth())]
    assert kept == frames[: -len(kept) - 1 : -1]  # the newest are kept, and the newest of them comes first
    for pfn in kept:
        buddy.free_page(pfn)
    assert all_frames_are_free(0)


def _slice(values: list[int]) -> Any:
    cells = Array[u32, 100]()
    for index, value in enumerate(values):
        cells[index] = value
    return cells[:]
