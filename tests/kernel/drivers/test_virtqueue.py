# SPDX-License-Identifier: Apache-2.0
"""Split virtqueues against a model device in simulated memory, honest and lying."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.kernel.drivers.virtio.dma import Segment
from kaa.kernel.drivers.virtio.queue import NOTHING, VirtQueue, ring_bytes, used_offset
from kaa.lang import Array, u16, u32, u64
from kaa.lang.unsafe import Ptr, allocate


class ModelDevice:
    """Reads the available ring, follows chains, fills in the used ring, by §2.7 alone."""

    def __init__(self, base: int, size: int, align: int) -> None:
        self.base, self.size = base, size
        self.available = base + 16 * size
        self.used = base + int(used_offset(size, align))
        self.seen = 0
        self.written = 0
        self.held: list[tuple[int, list[tuple[int, int, int]]]] = []

    def fetch(self) -> None:
        """Take every chain that was offered."""
        index = Ptr[u16](self.available + 2)[0]
        while self.seen != index:
            head = Ptr[u16](self.available + 4)[self.seen % self.size]
            self.held.append((head, self.chain(head)))
            self.seen = (self.seen + 1) & 0xFFFF

    def chain(self, head: int) -> list[tuple[int, int, int]]:
        pieces = []
        current = head
        while True:
            at = self.base + 16 * current
            flags = Ptr[u16](at + 12)[0]
            pieces.append((Ptr[u64](at)[0], Ptr[u32](at + 8)[0], flags & 2))
            if not flags & 1:
                return pieces
            current = Ptr[u16](at + 14)[0]

    def finish(self, which: int, length: int) -> None:
        """Put a held chain into the used ring."""
        head, _ = self.held.pop(which)
        self.report(head, length)

    def report(self, head: int, length: int) -> None:
        at = self.used + 4 + 8 * (self.written % self.size)
        Ptr[u32](at)[0] = head
        Ptr[u32](at + 4)[0] = length
        self.written = (self.written + 1) & 0xFFFF
        Ptr[u16](self.used + 2)[0] = self.written


def make(size: int = 8) -> tuple[VirtQueue, ModelDevice]:
    base = allocate(ring_bytes(size, 64) + 64)
    return VirtQueue(0, size, base, base, 64), ModelDevice(base, size, 64)


def segments(pieces: list[tuple[int, int]]) -> Array[Segment, 8]:
    array = Array[Segment, 8]()
    for number, (address, length) in enumerate(pieces):
        array[number].address = address
        array[number].length = length
    return array


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([2, 4, 8]))
def test_chains_reach_the_device_and_come_back_in_any_order(seed: int, size: int) -> None:
    choose = random.Random(seed)
    queue, device = make(size)
    expected: dict[int, int] = {}
    for _ in range(200):
        if choose.random() < 0.55:
            pieces = [(choose.randrange(1 << 40), choose.randrange(1, 5000)) for _ in range(choose.randint(1, size))]
            if len(pieces) > queue.room():
                continue
            outputs = choose.randint(0, len(pieces))
            head = queue.add(segments(pieces)[: len(pieces)], outputs)
            device.fetch()
            got_head, got = device.held[-1]
            assert got_head == head
            assert [(a, n) for a, n, _ in got] == pieces
            assert [w for _, _, w in got] == [0] * outputs + [2] * (len(pieces) - outputs)
            expected[head] = sum(n for _, n in pieces[outputs:])
        elif device.held:
            which = choose.randrange(len(device.held))
            head = device.held[which][0]
            length = choose.randrange(expected[head] + 1)
            device.finish(which, length)
            assert queue.take() == (head, length)
        assert queue.room() + sum(len(c) for _, c in device.held) == size
    assert queue.outstanding() == bool(device.held)


def test_a_used_length_beyond_the_buffer_is_cut() -> None:
    queue, device = make()
    head = queue.add(segments([(4096, 100), (8192, 50)])[:2], 1)
    device.fetch()
    device.finish(0, 1 << 31)
    assert queue.take() == (head, 50)


def test_a_used_chain_that_was_not_offered_breaks_the_queue() -> None:
    queue, device = make()
    queue.add(segments([(4096, 100)])[:1], 0)
    device.report(5, 10)
    assert queue.take()[0] == NOTHING
    assert queue.broken and queue.room() == 0


def test_a_used_head_out_of_range_breaks_the_queue() -> None:
    queue, device = make()
    device.report(0xFFFFFFFF, 10)
    assert queue.take()[0] == NOTHING and queue.broken


def test_a_chain_used_twice_breaks_the_queue() -> None:
    queue, device = make()
    head = queue.add(segments([(4096, 100)])[:1], 0)
    device.report(int(head), 1)
    device.report(int(head), 1)
    assert queue.take() == (head, 1)
    assert queue.take()[0] == NOTHING and queue.broken


def test_changed_links_in_shared_memory_do_not_matter() -> None:
    queue, device = make()
    head = queue.add(segments([(4096, 1), (8192, 1)])[:2], 2)
    Ptr[u16](device.base + 16 * int(head) + 14)[0] = 77
    device.report(int(head), 0)
    assert queue.take() == (head, 0)
    assert queue.room() == 8


def test_the_device_says_whether_it_wants_to_be_notified() -> None:
    queue, device = make()
    assert queue.notify_wanted()
    Ptr[u16](device.used)[0] = 1
    assert not queue.notify_wanted()
    queue.interrupts_off()
    assert Ptr[u16](device.available)[0] == 1
    head = queue.add(segments([(4096, 1)])[:1], 1)
    device.report(int(head), 0)
    assert queue.interrupts_on()
