# SPDX-License-Identifier: Apache-2.0
"""Translations that outlive a switch are never used after they were taken away: the kernel's code on processors that
remember all they may (tlb_machine.py), in every order of steps for small cases, in random orders for larger ones; and
mistakes in the policy, each of which this finds."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from tlb_machine import PAGES, Choice, Machine, Program, Stepping, by_orders  # noqa: E402

from kaa.kernel.arch.x86_64 import instructions, ipi, page_table, paging, pcid, percpu, tlb, tlb_slots  # noqa: E402
from kaa.kernel.arch.x86_64.instructions import CpuidResult  # noqa: E402
from kaa.kernel.arch.x86_64.page_table import PageTable  # noqa: E402
from kaa.kernel.arch.x86_64.tlb_slots import Numbers, Slots  # noqa: E402
from kaa.lang import u32, u64  # noqa: E402

PAGE, FAR = PAGES[0], PAGES[2]


def comes_back(m: Machine) -> None:
    """A program that leaves an address space and comes back."""
    m.switch(0)
    m.switch(1)
    m.switch(0)


def stays_lazily(m: Machine) -> None:
    m.switch(0)
    m.idle()
    m.switch(1)
    m.idle()
    m.switch(0)


def takes_away(m: Machine) -> None:
    m.switch(0)
    m.unmap(0, PAGE)


def takes_from_afar(m: Machine) -> None:
    """What is taken is not this processor's own: reclaim, truncate."""
    m.protect(0, PAGE)
    m.unmap(0, FAR)


def copies_on_write(m: Machine) -> None:
    m.switch(0)
    m.replace(0, PAGE)


def gives_tables_back(m: Machine) -> None:
    m.free(0)
    m.map(0, PAGE)


def lives_on(m: Machine) -> None:
    m.switch(0)


def ends_and_begins(m: Machine) -> None:
    m.end(0)
    m.switch(0)
    m.unmap(0, PAGE)


def looks_in_twice(m: Machine) -> None:
    m.switch(0)
    m.switch(1)
    m.idle()
    m.end(0)
    m.switch(0)


def goes_round(m: Machine) -> None:
    """More address spaces than slots."""
    for number in range(len(m.spaces)):
        m.switch(number)
    m.switch(0)
    m.switch(1)


def reclaims_lazily(m: Machine) -> None:
    """A kernel thread takes from the address space that it has loaded lazily."""
    m.switch(0)
    m.idle()
    m.unmap(0, PAGE)
    m.switch(0)


def protects_from_afar(m: Machine) -> None:
    m.protect(0, FAR)


def ends_its_own(m: Machine) -> None:
    """The last task of an address space takes it apart, with the root still loaded; the next comes in its place."""
    m.switch(0)
    m.idle()
    m.end(0)
    m.switch(0)
    m.idle()
    m.end(0)
    m.idle()
    m.switch(1)


def leaves_its_own(m: Machine) -> None:
    """The task goes on elsewhere in the middle of its end."""
    m.switch(0)
    m.idle()
    m.leave(0)


def finishes_it(m: Machine) -> None:
    m.switch(1)
    m.finish(0)
    m.switch(0)


CASES: dict[str, tuple[list[Program], int]] = {
    "comes back": ([comes_back, takes_away], 2),
    "comes back, from afar": ([comes_back, takes_from_afar], 2),
    "lazily": ([stays_lazily, takes_away], 2),
    "takes lazily": ([protects_from_afar, reclaims_lazily], 2),
    "copied": ([comes_back, copies_on_write], 2),
    "tables": ([comes_back, gives_tables_back], 1),
    "new in the same place": ([looks_in_twice, ends_and_begins], 1),
    "two take": ([takes_away, takes_from_afar], 2),
    "two take from one": ([lives_on, takes_from_afar, takes_from_afar], 1),
    "ends": ([ends_its_own, comes_back], 1),
    "two end": ([ends_its_own, ends_its_own], 1),
    "ends elsewhere": ([leaves_its_own, finishes_it], 2),
    "many": ([goes_round], 0),
}
"""Programs, one for each processor, and how often one that could go on is made to wait."""
Mistake = Callable[[pytest.MonkeyPatch], None]


def explore(case: str, tags: bool = True, mistake: Mistake | None = None) -> int:
    """Go through the orders of a case's steps; gives how many there are."""
    programs, preemptions = CASES[case]

    def run(choose: Choice) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if mistake is not None:
                mistake(patch)
            Machine(patch, len(programs), tlb_slots.SLOTS + 2 if case == "many" else 2, tags).run(programs, choose)

    return by_orders(run, preemptions)


@pytest.mark.parametrize("tags", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_nothing_is_used_after_it_was_taken_away_in_any_order_of_steps(case: str, tags: bool) -> None:
    assert explore(case, tags) > 10 or len(CASES[case][0]) == 1


# -- mistakes


def _not_raised(patch: pytest.MonkeyPatch) -> None:
    """The generation stays as it is."""
    patch.setattr(Stepping, "fetch_add", lambda self, more: self.inner.load(), raising=False)


def _numbers_again(patch: pytest.MonkeyPatch) -> None:
    """The third address space gets the first one's number."""
    given = Numbers.next
    patch.setattr(Numbers, "next", lambda self: u64((given(self) - 1) % 2 + 1))


def _always_kept(patch: pytest.MonkeyPatch) -> None:
    """Nothing is forgotten when an address space is loaded."""
    enter = Slots.enter
    patch.setattr(Slots, "enter", lambda self, space, generation: enter(self, space, generation) or True)


def _always_new(patch: pytest.MonkeyPatch) -> None:
    """Whatever the slot's generation, the address space is enough."""

    def enter(self: Slots, space: u64, generation: u64) -> bool:
        known = self.spaces[self._place(space)] == space  # pyright: ignore[reportPrivateUsage]
        return real(self, space, generation) or known

    real = Slots.enter
    patch.setattr(Slots, "enter", enter)


def _tag_of_the_kernel(patch: pytest.MonkeyPatch) -> None:
    """The first slot has the tag of the kernel's root."""

    def load(root: u64, space: u64, generation: u64) -> None:
        own = percpu.slots()
        keep = pcid.KEEP if own.enter(space, generation) else 0
        instructions.write_cr3(u64(root | keep | own.current))

    patch.setattr(pcid, "load", load)


def _read_before_the_bit(patch: pytest.MonkeyPatch) -> None:
    """The generation is read before the processor is in the set."""

    def activate(self: PageTable) -> None:
        local = percpu.local()
        generation = self.generation.load()
        previous = self._note(local)  # pyright: ignore[reportPrivateUsage]
        pcid.load(self.root, self.space, generation)
        page_table._leave(previous, local.bit)  # pyright: ignore[reportPrivateUsage]

    patch.setattr(PageTable, "_activate_slot", activate)


def _left_before_the_load(patch: pytest.MonkeyPatch) -> None:
    """The processor takes its bit out while the table is still loaded."""

    def activate(self: PageTable) -> None:
        local = percpu.local()
        previous = self._note(local)  # pyright: ignore[reportPrivateUsage]
        page_table._leave(previous, local.bit)  # pyright: ignore[reportPrivateUsage]
        pcid.load(self.root, self.space, self.generation.load())

    patch.setattr(PageTable, "_activate_slot", activate)


def _switched_with_interrupts_on(patch: pytest.MonkeyPatch) -> None:
    def switch(self: Machine, number: int) -> None:
        self.running.space = self.spaces[number]
        self.running.space.table.activate()

    patch.setattr(Machine, "switch", switch)


def _caught_up_with_interrupts_on(patch: pytest.MonkeyPatch) -> None:
    """A request may come between the look at the root and INVLPG."""

    def catch_up(root: u64, generation: u64, start: u64, end: u64) -> None:
        if percpu.local().active_root == root:
            tlb._catch_up(generation, start, end)  # pyright: ignore[reportPrivateUsage]

    patch.setattr(tlb, "_catch_up_here", catch_up)


def _set_before_the_generation(patch: pytest.MonkeyPatch) -> None:
    """Who shoots down reads the set before the generation is raised."""

    def shoot_down(table: PageTable, start: u64, end: u64) -> None:
        percpu.preempt_disable()
        others = table.active.load() & ~percpu.local().bit
        generation = table.generation.fetch_add(1) + 1
        if others != 0:
            tlb._ask(others, table.root, generation, start, end)  # pyright: ignore[reportPrivateUsage]
        tlb._catch_up_here(table.root, generation, start, end)  # pyright: ignore[reportPrivateUsage]
        if others != 0:
            ipi.wait(ipi.mailbox(percpu.cpu_id()))
        percpu.preempt_enable()

    patch.setattr(tlb, "shoot_down", shoot_down)
    patch.setattr(paging, "shoot_down", shoot_down)


def _only_the_range(patch: pytest.MonkeyPatch) -> None:
    """A slot that misses several shoot-downs forgets one's range, and says that it has caught up."""
    real = Slots.catch_up
    patch.setattr(Slots, "catch_up", lambda self, generation: min(real(self, generation), tlb_slots.RANGE))


def _nothing_forgotten_here(patch: pytest.MonkeyPatch) -> None:
    """Who shoots down forgets others only."""
    patch.setattr(tlb, "_catch_up_here", lambda root, generation, start, end: None)


def _upper_tables_remembered(patch: pytest.MonkeyPatch) -> None:
    """Who ends frees tables that the processor still knows of."""
    patch.setattr(page_table, "_forget_upper_tables", lambda root: None)


def _loaded_root_freed(patch: pytest.MonkeyPatch) -> None:
    """A root is freed while it is in CR3."""
    patch.setattr(page_table, "_keep_loaded", lambda root: root)


def _loaded_root_taken(patch: pytest.MonkeyPatch) -> None:
    """The spare is taken although it is still in CR3."""

    def take() -> u64:
        local = percpu.local()
        root, local.spare_root = local.spare_root, u64(0)
        return root

    patch.setattr(page_table, "_take_spare", take)


def _left_for_a_kernel_thread(patch: pytest.MonkeyPatch) -> None:
    """A kernel thread keeps a root that was left."""
    patch.setattr(page_table, "finish_leaving", lambda: None)


UNTAGGED: list[tuple[Mistake, str]] = [
    (_upper_tables_remembered, "ends"),
    (_loaded_root_freed, "ends"),
    (_loaded_root_taken, "ends"),
    (_left_for_a_kernel_thread, "ends elsewhere"),
]
"""Where translations do not outlive a load."""
MISTAKES: list[tuple[Mistake, str]] = [
    (_not_raised, "comes back"),
    (_numbers_again, "new in the same place"),
    (_always_kept, "many"),
    (_always_new, "comes back"),
    (_tag_of_the_kernel, "lazily"),
    (_read_before_the_bit, "comes back"),
    (_left_before_the_load, "comes back"),
    (_switched_with_interrupts_on, "comes back"),
    (_caught_up_with_interrupts_on, "takes lazily"),
    (_set_before_the_generation, "comes back"),
    (_only_the_range, "two take from one"),
    (_nothing_forgotten_here, "two take"),
]


@pytest.mark.parametrize("mistake, case", MISTAKES, ids=lambda one: getattr(one, "__name__", one))
def test_a_mistake_is_found(mistake: Mistake, case: str) -> None:
    with pytest.raises(AssertionError, match="taken away|was freed|kernel's tag|what is freed"):
        explore(case, mistake=mistake)


@pytest.mark.parametrize("mistake, case", UNTAGGED, ids=lambda one: getattr(one, "__name__", one))
def test_a_mistake_without_tags_is_found(mistake: Mistake, case: str) -> None:
    with pytest.raises(AssertionError, match="taken away|was freed|what is freed"):
        explore(case, tags=False, mistake=mistake)


def test_who_ends_loads_nothing_and_the_root_is_the_next_one_made_there() -> None:
    def program(m: Machine) -> None:
        m.switch(0)
        m.idle()
        m.end(0)
        m.switch(1)
        m.end(0)
        m.switch(0)

    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(patch, 1, 2, tags=False)
        first, second = (int(space.table.root) for space in machine.spaces)
        machine.run([program], lambda ready, last: last)
        loads = machine.processors[0].loads
    assert loads == [first, second, first]


# -- the rest


def test_what_is_kept_is_kept() -> None:
    """Coming back to what nobody changed forgets nothing; after a change elsewhere it forgets all of that tag."""

    def program(m: Machine) -> None:
        m.switch(0)
        m.switch(1)
        m.switch(0)
        m.switch(1)
        m.unmap(0, PAGE)
        m.unmap(1, PAGE)
        m.switch(0)
        m.switch(1)

    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(patch, 1, 2)
        machine.run([program], lambda ready, last: last)
        loads = machine.processors[0].loads
    assert [(value & 0xFFF, value >> 63) for value in loads] == [(1, 0), (2, 0), (1, 1), (2, 1), (1, 0), (2, 1)]


def test_kernel_mappings_are_forgotten_under_every_tag() -> None:
    def program(m: Machine) -> None:
        m.switch(0)
        m.switch(1)
        one = m.running
        assert {tag for tag, _ in one.pages} == {1, 2}
        tlb.shoot_down_kernel()
        assert {tag for tag, _ in one.pages} == {2} and one.cr4 & pcid.CR4_TAGS

    with pytest.MonkeyPatch.context() as patch:
        Machine(patch, 1, 2).run([program], lambda ready, last: last)


@pytest.mark.parametrize("word, on, keep", [(b"off", False, 0), (b"dry", True, 0), (b"", True, pcid.KEEP)])
def test_the_command_line_chooses(monkeypatch: pytest.MonkeyPatch, word: bytes, on: bool, keep: int) -> None:
    choice = pcid.Choice()
    written: list[int] = []
    monkeypatch.setattr(pcid, "choice", choice)
    monkeypatch.setattr(instructions, "cpuid", lambda leaf, sub: CpuidResult(u32(0), u32(0), u32(pcid.FEATURE), u32(0)))
    monkeypatch.setattr(instructions, "read_cr3", lambda: u64(0x1000))
    monkeypatch.setattr(instructions, "write_cr4", lambda value: written.append(int(value)))
    pcid._choose(word)  # pyright: ignore[reportPrivateUsage]
    pcid.initialise()
    assert (choice.on, choice.keep, bool(written)) == (on, keep, keep != 0)


def test_a_processor_without_tags_does_not_join_those_that_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = pcid.Choice()
    monkeypatch.setattr(pcid, "choice", choice)
    monkeypatch.setattr(instructions, "cpuid", lambda leaf, sub: CpuidResult())
    pcid.initialise()
    assert not choice.on and pcid.join()
    choice.keep = u64(pcid.KEEP)
    assert not pcid.join()


OPERATIONS = st.one_of(
    st.tuples(st.just("switch"), st.integers(0, 2)),
    st.tuples(st.just("idle")),
    st.tuples(st.sampled_from(["map", "unmap", "protect", "replace"]), st.integers(0, 2), st.sampled_from(PAGES)),
    st.tuples(st.sampled_from(["free", "end"]), st.integers(0, 2)),
)


def program_of(operations: list[tuple[Any, ...]]) -> Program:
    def program(machine: Machine) -> None:
        for name, *arguments in operations:
            getattr(machine, name)(*arguments)

    return program


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(OPERATIONS, max_size=8), min_size=2, max_size=3),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_nothing_is_used_after_it_was_taken_away_in_random_orders(
    work: list[list[tuple[Any, ...]]], chance: Any, tags: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(patch, len(work), 3, tags)
        machine.run([program_of(operations) for operations in work], lambda ready, last: chance.choice(ready))
