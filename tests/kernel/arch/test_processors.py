# SPDX-License-Identifier: Apache-2.0
"""Which processors there are, by firmware's tables; and what they ask of each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.kernel.arch.x86_64 import apic, ioapic, ipi, mp_table, percpu, processors, tlb, tsc_sync
from kaa.kernel.arch.x86_64.processors import Processors
from kaa.kernel.drivers.acpi import madt
from kaa.kernel.mm import boot_memory
from kaa.lang import u32, u64


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(processors, "processors", Processors())
    monkeypatch.setattr(apic, "identity", lambda: u32(2))
    yield


def found() -> list[int]:
    table = processors.processors
    return [int(table.apic_ids[n]) for n in range(table.count)]


def local_apic(identity: int, flags: int = 1) -> bytes:
    return bytes([0, 8, 0, identity]) + flags.to_bytes(4, "little")


def x2apic(identity: int, flags: int = 1) -> bytes:
    return bytes([9, 16, 0, 0]) + identity.to_bytes(4, "little") + flags.to_bytes(4, "little") + bytes(4)


def test_the_boot_processor_is_number_0_and_the_others_keep_their_order() -> None:
    madt.read_table(bytes(44) + b"".join(local_apic(n) for n in (0, 1, 2, 3)))
    processors.initialise()
    assert found() == [2, 0, 1, 3] and processors.count() == 4


def test_processors_that_are_not_enabled_or_named_twice_are_not_counted() -> None:
    madt.read_table(bytes(44) + local_apic(2) + local_apic(5, flags=2) + x2apic(2) + x2apic(7) + local_apic(7))
    processors.initialise()
    assert found() == [2, 7]


def test_without_tables_there_is_one() -> None:
    processors.initialise()
    assert found() == [2]


def test_the_65th_and_ids_beyond_xapic_mode_are_left_out() -> None:
    madt.read_table(bytes(44) + x2apic(255) + x2apic(70000) + b"".join(local_apic(n) for n in range(70)))
    processors.initialise()
    assert found() == [2, 0, 1, *range(3, 64)] and processors.processors.left_out == 8


def test_the_boot_processor_is_among_64_even_if_named_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apic, "identity", lambda: u32(69))
    madt.read_table(bytes(44) + b"".join(local_apic(n) for n in range(70)))
    processors.initialise()
    assert found() == [69, *range(63)]


@given(st.binary(max_size=120))
def test_a_damaged_madt_is_no_bug(damage: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processors, "processors", Processors())
        patch.setattr(ioapic, "add", ignore)
        madt.read_table(bytes(44) + damage)
        assert processors.count() <= 64


def ignore(address: u64, line: u32) -> None:
    """Instead of mapping a controller."""


def mp_processor(identity: int, flags: int) -> bytes:
    return bytes([0, identity, 20, flags]) + bytes(16)


def summed(data: bytes, at: int) -> bytes:
    """The bytes, with the one at `at` such that they add up to 0."""
    data = data[:at] + b"\0" + data[at + 1 :]
    return data[:at] + bytes([-sum(data) & 0xFF]) + data[at + 1 :]


def test_the_multiprocessor_table_names_usable_processors_only() -> None:
    entries = mp_processor(0, 3) + mp_processor(1, 1) + mp_processor(4, 0) + bytes([1]) + bytes(7) + mp_processor(6, 1)
    mp_table.read_table(bytes(44) + entries)
    assert found() == [0, 1, 6]


def test_the_floating_pointer_is_found_on_its_boundary_if_it_adds_up() -> None:
    pointer = summed(b"_MP_" + (0x9FC10).to_bytes(4, "little") + bytes([1, 4, 0]) + bytes(5), 10)
    assert mp_table.pointer_in(bytes(32) + pointer) == 0x9FC10
    assert mp_table.pointer_in(bytes(8) + pointer + bytes(8)) == 0
    assert mp_table.pointer_in(b"_MP_" + bytes([1]) + bytes(11) + pointer) == 0x9FC10


@given(st.binary(max_size=150))
def test_a_damaged_multiprocessor_table_is_no_bug(damage: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processors, "processors", Processors())
        mp_table.read_table(bytes(44) + damage)
        mp_table.pointer_in(damage)


@pytest.mark.parametrize("words, number", [(b"0", 1), (b"3", 3), (b"-5", 1), (b"99999", 64), (b"x", 1)])
def test_maxcpus_is_cut_to_what_can_be(words: bytes, number: int) -> None:
    processors._maximum(words)  # pyright: ignore[reportPrivateUsage]
    assert processors.processors.wanted == number


def test_low_memory_is_taken_from_below_and_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot_memory, "usable", boot_memory.Ranges())
    boot_memory.add(u64(0), u64(0x3000))
    boot_memory.add(u64(0x10_0000), u64(0x20_0000))
    assert boot_memory.take_below(u64(0x2000), u64(0x1000), u64(0x9_F000)) == 0x1000
    assert boot_memory.take_below(u64(0x1000), u64(0x1000), u64(0x9_F000)) == 0
    assert boot_memory.take_below(u64(0x1000), u64(0), u64(0x9_F000)) == 0


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Mailboxes for four processors, of which this is number 0; what is sent."""
    sent: list[tuple[int, int]] = []
    boxes = ipi.Mailboxes()
    monkeypatch.setattr(ipi, "mailboxes", boxes)

    def send(destination: u32, command: u32) -> None:
        sent.append((int(destination), int(command)))

    monkeypatch.setattr(apic, "send", send)
    for number in range(4):
        ipi.prepare(u32(number))
        processors.add(u32(10 + number))
    processors.processors.online.store(0b1111)
    return sent


def note(argument: u64) -> None:
    noted.append(int(argument))


noted: list[int] = []


def test_one_interrupt_answers_all_who_ask(commands: list[tuple[int, int]]) -> None:
    noted.clear()
    own = ipi.mailbox(u32(0))
    for sender in (1, 3):
        box = ipi.mailbox(u32(sender))
        box.kind, box.function, box.argument = u32(ipi.CALL), note, u64(sender)
        box.pending.store(0b0101)
        own.incoming.fetch_or(1 << sender)
    ipi._requests(u32(apic.CALL_VECTOR))  # pyright: ignore[reportPrivateUsage]
    assert sorted(noted) == [1, 3] and own.calls == 2 and own.incoming.load() == 0
    assert [ipi.mailbox(u32(n)).pending.load() for n in (1, 3)] == [0b0100, 0b0100]


def test_a_processor_whose_interrupt_is_under_way_is_not_interrupted_again(commands: list[tuple[int, int]]) -> None:
    ipi.mailbox(u32(2)).incoming.store(0b1000)
    box = ipi.mailbox(u32(0))
    ipi.post(box, u64(0b0110))
    assert commands == [(11, apic.FIXED | apic.CALL_VECTOR)]
    assert ipi.mailbox(u32(2)).incoming.load() == 0b1001 and box.pending.load() == 0b0110


def test_a_call_on_oneself_runs_at_once_and_asks_nobody(commands: list[tuple[int, int]]) -> None:
    noted.clear()
    ipi.call(u64(1), note, u64(7))
    assert noted == [7] and commands == []


def test_reschedule_and_kick_go_to_the_processor_s_apic_id(commands: list[tuple[int, int]]) -> None:
    ipi.send_reschedule(u32(3))
    ipi.kick(u32(1))
    assert commands == [(13, apic.FIXED | apic.RESCHEDULE_VECTOR), (11, apic.FIXED | apic.KICK_VECTOR)]


def test_many_pages_are_forgotten_at_once_and_few_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pages, all_of_them = list[int](), list[int]()
    monkeypatch.setattr(tlb.instructions, "invalidate_page", pages.append)
    monkeypatch.setattr(tlb.instructions, "write_cr3", all_of_them.append)
    tlb.forget_here(u64(0x1000), u64(0x4000))
    assert pages == [0x1000, 0x2000, 0x3000] and all_of_them == []
    tlb.forget_here(u64(0x1000), u64(0x1000 + 33 * 4096))
    assert len(pages) == 3 and len(all_of_them) == 1


def test_counters_apart_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other side is played in between: its readings are 500 cycles behind."""
    tsc_sync.prepare()
    time = iter(range(1_000_000, 9_000_000, 10))
    monkeypatch.setattr(tsc_sync.instructions, "read_tsc", lambda: u64(next(time)))
    tsc_sync.turns.last.store(1_000_510)
    tsc_sync.turns.turn.store(tsc_sync.ROUNDS - 2)
    tsc_sync.test(u32(tsc_sync.ROUNDS - 2))
    assert tsc_sync.worst() == 500


def test_the_area_names_its_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    from kaa.kernel.sched.cpu import Cpu
    from kaa.lang.unsafe import Ptr, address_of, symbol

    monkeypatch.setattr(percpu, "areas", percpu.Areas())
    this = Cpu(u32(5))
    percpu.prepare(symbol("an_area_for_the_test"), this)
    area = Ptr[percpu.CpuLocal](symbol("an_area_for_the_test")).place()
    assert (area.cpu, area.bit, area.cpu_object, area.self_address) == (
        5, 1 << 5, address_of(this), symbol("an_area_for_the_test"),
    )  # fmt: skip
    assert percpu.remote(u32(5)).cpu == 5
    assert percpu.interrupt_count(u32(6), u32(1)) == 0


def test_a_sum_has_a_part_on_each_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    from kaa.lang.unsafe import symbol

    areas = percpu.Areas()
    monkeypatch.setattr(percpu, "areas", areas)
    areas.address[0] = symbol("kaa_boot_cpu")
    areas.address[3] = symbol("another_area")
    areas.count = u32(4)
    before = percpu.total(u64(5))
    percpu.add(u64(5), u64(40))
    monkeypatch.setattr(percpu, "_area", lambda: symbol("another_area"))
    percpu.add(u64(5), u64((1 << 64) - 3))
    assert percpu.total(u64(5)) - before == 37
    assert percpu.total(u64(6)) == 0
