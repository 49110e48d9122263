# SPDX-License-Identifier: Apache-2.0
"""Processors that remember translations, under CPython: the kernel's own page_table.py, tlb.py, ipi.py and pcid.py run
on them, one thread for each processor, one step of one of them at a time.

A step ends before everything that others can see or that the order matters to: an atomic operation, a load of CR3 or
CR4, INVLPG, a request's arrival where interrupts are on. Who goes on is the test's to choose, so it can go through all
orders. Steps follow each other (as if memory were sequentially consistent): what orders a store before a load in the
code are locked instructions.

The processors are as greedy as Intel's manual allows (volume 3, 4.10.2 and 4.10.3): after each step they remember all
that the tables they have loaded say, both pages and tables above them, and forget nothing unless told. The machine
knows of each address space what may still be used: what its tables say, and what was taken out of them by somebody
whose `shoot_down` has not come back. After each step it looks whether any processor could use anything else. Where a
root stays loaded that was left, nobody uses user addresses: there it looks for tables only, which processors walk by
themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from kaa.kernel.arch.x86_64 import (
    instructions,
    ipi,
    irq,
    page_table,
    paging,
    pcid,
    percpu,
    processors,
    tlb,
    tlb_slots,
)
from kaa.kernel.arch.x86_64.instructions import CpuidResult
from kaa.kernel.arch.x86_64.page_table import PageTable
from kaa.kernel.mm import buddy
from kaa.lang import Array, Atomic, u32, u64
from kaa.lang.unsafe import Ptr, zero

ADDRESS = 0x000F_FFFF_FFFF_F000
GLOBAL_PAGES = 1 << 7
PAGES = (0x1000, 0x2000, 0x40_0000)
"""The pages that are mapped: two under one last-level table, one under another."""
RIGHTS = paging.WRITE | paging.PRESENT
AREAS = 0xFFFF_C9FF_0000_0000


class Stopped(BaseException):
    """The run is over; unwinds a processor's thread."""


class Frames:
    """Frames of tables; the one given back last is taken first, so that addresses come again."""

    def __init__(self) -> None:
        self.next, self.free = 0x100, list[int]()

    def take(self) -> u64:
        if self.free:
            pfn = self.free.pop()
        else:
            pfn = self.next
            self.next += 1
        zero(paging.direct_map(u64(pfn << 12)), u64(4096))
        return u64(pfn)

    def give(self, pfn: int, order: int) -> None:
        self.free.append(int(pfn))


class Space:
    """An address space, and what of it may be used."""

    def __init__(self, table: PageTable) -> None:
        self.table = table
        self.alive = True
        self.left = False
        """No task may use it any more, but it has its pages still."""
        self.freeing = False
        self.going: list[tuple[int, int]] = []
        """(page, what it showed) that somebody is still shooting down."""
        self.tables_going: list[tuple[int, int]] = []
        self.locked = False
        """The table is being changed: mm's table_lock is held."""

    def born(self, machine: Machine) -> None:
        self.table.active = Stepping(machine, self.table.active)  # type: ignore[assignment]
        self.table.generation = Stepping(machine, self.table.generation)  # type: ignore[assignment]


class Stepping:
    """An Atomic, before each use of which others may come."""

    def __init__(self, machine: Machine, inner: Any) -> None:
        self.machine, self.inner = machine, inner

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self.inner, name)

        def run(*arguments: Any) -> Any:
            self.machine.step()
            return operation(*arguments)

        return run


class Processor:
    """One processor: registers, what it remembers, and the thread that is its program."""

    def __init__(self, machine: Machine, number: int) -> None:
        self.machine, self.number = machine, number
        self.area = AREAS + 4096 * number
        zero(u64(self.area), u64(4096))
        local = Ptr[percpu.CpuLocal](u64(self.area)).place()
        local.self_address = u64(self.area)
        local.bit = u64(1 << number)
        local.cpu = u32(number)
        local.active_root = paging.kernel.root
        self.cr3, self.cr4 = int(paging.kernel.root), GLOBAL_PAGES
        self.loads: list[int] = []
        """What was put into CR3."""
        self.pages: dict[tuple[int, int], int] = {}
        """(tag, page) to entry."""
        self.tables: dict[tuple[int, int], int] = {}
        """(tag, region) to the physical address of the last-level table."""
        self.space: Space | None = None
        """Whose memory the running task has; None: a kernel thread."""
        self.interrupts, self.posted, self.count = True, False, 0
        self.go = threading.Semaphore(0)
        self.until: Callable[[], bool] | None = None
        self.done = False
        self.error: BaseException | None = None

    # -- the registers

    def load_cr3(self, value: int) -> None:
        tagged = self.cr4 & pcid.CR4_TAGS != 0
        assert tagged or value & ~ADDRESS == 0, "general protection: a tag without CR4.PCIDE"
        tag = value & 0xFFF
        if not value >> 63:
            self.pages = {key: entry for key, entry in self.pages.items() if key[0] != tag}
            self.tables = {key: table for key, table in self.tables.items() if key[0] != tag}
        self.cr3 = value & ~(1 << 63)
        self.loads.append(value)

    def load_cr4(self, value: int) -> None:
        if (value ^ self.cr4) & GLOBAL_PAGES:
            self.pages, self.tables = {}, {}
        if value & ~self.cr4 & pcid.CR4_TAGS:
            assert self.cr3 & 0xFFF == 0, "general protection: a tag is loaded"
        self.cr4 = value

    def drop_page(self, address: int) -> None:
        self.pages.pop((self.cr3 & 0xFFF, address), None)
        self.tables = {key: table for key, table in self.tables.items() if key[0] != self.cr3 & 0xFFF}

    def local(self) -> percpu.CpuLocal:
        """Its area."""
        return Ptr[percpu.CpuLocal](u64(self.area)).place()

    # -- what it remembers

    def fill(self) -> None:
        """Remember all that is mapped by now and not remembered yet."""
        tag = self.cr3 & 0xFFF
        for page in PAGES:
            key = (tag, page >> 21)
            if key not in self.tables:
                found = walk(self.cr3 & ADDRESS, page)
                if found:
                    self.tables[key] = found
            if key in self.tables and (tag, page) not in self.pages:
                entry = entry_at(self.tables[key], page)
                if entry & paging.PRESENT:
                    self.pages[tag, page] = entry


def entry_at(table: int, page: int) -> int:
    return int(Ptr[u64](paging.direct_map(u64(table)))[u64(page >> 12 & 511)]) & (ADDRESS | RIGHTS)


def walk(root: int, page: int) -> int:
    """The last-level table of a page, 0: none."""
    at = root
    for shift in (39, 30, 21):
        at = int(Ptr[u64](paging.direct_map(u64(at)))[u64(page >> shift & 511)]) & ADDRESS
        if not at:
            return 0
    return at


Program = Callable[["Machine"], None]
Choice = Callable[[list[int], int], int]


class Machine:
    """Some processors and some address spaces."""

    def __init__(self, patch: pytest.MonkeyPatch, count: int, spaces: int, tags: bool = True) -> None:
        self.started = False
        self.back = threading.Semaphore(0)
        self.over = False
        self.frames = Frames()
        self.pfn = 0x5_0000
        self.steps = 0
        self._patch(patch)
        patch.setattr(paging.kernel, "root", self.frames.take() << 12)
        self.processors = [Processor(self, number) for number in range(count)]
        self.running = self.processors[0]
        self._start(patch, tags)
        self.spaces = [Space(PageTable()) for _ in range(spaces)]
        for space in self.spaces:
            for page in PAGES:
                space.table.set(u64(page), self.fresh(), True, False)
            space.born(self)
        self.started = True

    def _patch(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(buddy, "allocate_zeroed", self.frames.take)
        patch.setattr(buddy, "free_pages", self.frames.give)
        patch.setattr(PageTable, "__del__", lambda table: None)
        frames = dict[int, Any]()
        from kaa.kernel.mm import frame

        patch.setattr(frame, "page", lambda pfn: frames.setdefault(int(pfn), SimpleNamespace(next=0)))
        patch.setattr(percpu, "_area", lambda: u64(self.running.area))
        patch.setattr(percpu, "_cpu", lambda: u32(self.running.number))
        patch.setattr(percpu, "_increment", lambda: self._count(1))
        patch.setattr(percpu, "_decrement", lambda: self._count(-1))
        patch.setattr(percpu, "current", lambda: SimpleNamespace(mm=self.running.space))
        patch.setattr(irq, "flags", lambda: u64(irq.FLAG if self.running.interrupts else 0))
        patch.setattr(irq, "disable", lambda: self._interrupts(False))
        patch.setattr(irq, "enable", lambda: self._interrupts(True))
        patch.setattr(irq, "save", self._save)
        patch.setattr(irq, "relax", self._relax)
        patch.setattr(ipi, "send", self._send)
        patch.setattr(instructions, "read_cr3", lambda: u64(self.running.cr3))
        patch.setattr(instructions, "read_cr4", lambda: u64(self.running.cr4))
        patch.setattr(instructions, "write_cr3", lambda value: self._write(Processor.load_cr3, value))
        patch.setattr(instructions, "write_cr4", lambda value: self._write(Processor.load_cr4, value))
        patch.setattr(instructions, "invalidate_page", lambda page: self._write(Processor.drop_page, page))
        for module in (tlb, page_table):
            if hasattr(module, "fence"):
                patch.setattr(module, "fence", self.step)

    def _start(self, patch: pytest.MonkeyPatch, tags: bool) -> None:
        """Switch tags on as booting does."""
        count = len(self.processors)
        patch.setattr(processors.processors, "online", Atomic(u64((1 << count) - 1)))
        table = Array[ipi.Mailbox | None, 64]()
        for number in range(count):
            box = ipi.Mailbox()
            box.incoming = Stepping(self, box.incoming)  # type: ignore[assignment]
            box.pending = Stepping(self, box.pending)  # type: ignore[assignment]
            table[number] = box
        patch.setattr(ipi.mailboxes, "table", table)
        patch.setattr(pcid, "choice", pcid.Choice())
        patch.setattr(tlb_slots, "numbers", tlb_slots.Numbers())
        leaf = CpuidResult(u32(0), u32(0), u32(pcid.FEATURE if tags else 0), u32(0))
        patch.setattr(instructions, "cpuid", lambda number, sub: leaf)
        pcid.initialise()
        for other in self.processors[1:]:
            self.running = other
            assert pcid.join()
        assert all(bool(one.cr4 & pcid.CR4_TAGS) == tags for one in self.processors)

    def fresh(self) -> u64:
        """A frame that was never mapped."""
        self.pfn += 1
        return u64(self.pfn)

    # -- what the patched kernel sees

    def _count(self, change: int) -> u64:
        self.running.count += change
        return u64(self.running.count)

    def _interrupts(self, on: bool) -> None:
        self.running.interrupts = on
        if on:
            self.step()

    def _save(self) -> u64:
        was, self.running.interrupts = self.running.interrupts, False
        return u64(irq.FLAG if was else 0)

    def _relax(self) -> None:
        """The only thing that is waited for is that others have answered."""
        box = ipi.mailboxes.table[self.running.number]
        assert box is not None
        self.step(lambda: box.pending.inner.load() == 0)  # type: ignore[attr-defined]

    def _send(self, number: int, vector: int) -> None:
        self.step()
        self.processors[int(number)].posted = True

    def _write(self, register: Callable[[Processor, int], None], value: int) -> None:
        self.step()
        register(self.running, int(value))

    # -- steps

    def step(self, until: Callable[[], bool] | None = None) -> None:
        """Others may go on first."""
        one = self.running
        if not self.started:
            return
        one.until = until
        self.back.release()
        one.go.acquire()
        if self.over:
            raise Stopped
        one.until = None
        while one.interrupts and one.posted:
            one.posted, one.interrupts = False, False
            ipi._requests(u32(0))  # pyright: ignore[reportPrivateUsage]
            one.interrupts = True

    def _live(self, one: Processor, program: Program) -> None:
        one.go.acquire()
        try:
            if not self.over:
                program(self)
            while not self.over:
                one.done = True
                self.step(lambda: False)
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001
            one.error = error
        self.back.release()

    def _ready(self, one: Processor) -> bool:
        return one.until is None or one.until() or (one.interrupts and one.posted)

    def run(self, programs: list[Program], choose: Choice) -> None:
        """Run one program on each processor. choose(who could go on, who did last) gives the next."""
        threads = [
            threading.Thread(target=self._live, args=(one, program), daemon=True)
            for one, program in zip(self.processors, programs, strict=True)
        ]
        for thread in threads:
            thread.start()
        try:
            self._run(choose)
        finally:
            self.over = True
            for one in self.processors:
                one.go.release()
            for thread in threads:
                thread.join()
            for space in self.spaces:
                space.table.root = u64(0)  # type: ignore[misc]

    def _run(self, choose: Choice) -> None:
        last = 0
        while ready := [one.number for one in self.processors if self._ready(one)]:
            last = ready[0] if len(ready) == 1 else choose(ready, last)
            self.running = self.processors[last]
            self.steps += 1
            self.running.go.release()
            self.back.acquire()
            if self.running.error is not None:
                raise self.running.error
            self.look()
        assert all(one.done for one in self.processors), "all wait for each other"

    def look(self) -> None:
        """Every processor remembers what it can; nothing of it is what nobody may use any more."""
        for one in self.processors:
            one.fill()
            root, tag = one.cr3 & ADDRESS, one.cr3 & 0xFFF
            switched = one.space is None or not one.interrupts or root != int(one.local().left_root)
            assert switched, "a user's task runs on a root that was left"
            if root == int(paging.kernel.root):
                assert not any(key[0] == tag for key in one.pages), "the kernel's tag shows user pages"
                continue
            space = next((space for space in self.spaces if int(space.table.root) == root), None)
            if space is None:
                assert root == int(one.local().left_root), "somebody has loaded what is freed"
                assert not any(key[0] == tag for key in one.tables), f"processor {one.number} walks what was freed"
                continue
            assert not space.alive or root != int(one.local().left_root), "what is freed is loaded, and used again"
            for page in PAGES:
                self._compare(one, space, page)

    def _compare(self, one: Processor, space: Space, page: int) -> None:
        tag = one.cr3 & 0xFFF
        table = walk(int(space.table.root), page)
        kept = one.tables.get((tag, page >> 21), 0)
        assert kept in (0, table) or (page >> 21, kept) in space.tables_going, (
            f"processor {one.number} walks a table at {kept:#x} that was freed"
        )
        if int(one.local().left_root) == one.cr3 & ADDRESS:
            return
        shown = one.pages.get((tag, page), 0)
        assert shown in (0, entry_at(table, page) if table else 0) or (page, shown) in space.going, (
            f"processor {one.number} sees {shown:#x} at {page:#x}, which was taken away"
        )

    # -- what programs do

    def switch(self, number: int) -> None:
        """The scheduler goes on with a task of an address space."""
        space = self.spaces[number]
        if space.alive:
            self.running.space = space
            irq.disable()
            space.table.activate()
            irq.enable()

    def idle(self) -> None:
        """The scheduler goes on with a kernel thread, which keeps the page table lazily, if it is not at its end."""
        self.running.space = None
        irq.disable()
        page_table.finish_leaving()
        irq.enable()

    @contextmanager
    def _table_of(self, number: int) -> Iterator[Space]:
        """The address space, alive, with its table locked. mm holds the lock through a shoot-down as well; tlb.py does
        not ask for that, so the machine lets other changes come while one is shot down."""
        self.step()
        while (space := self.spaces[number]).locked or not space.alive:
            self.step(lambda: not self.spaces[number].locked and self.spaces[number].alive)
        space.locked = True
        try:
            yield space
        finally:
            space.locked = False

    def map(self, number: int, page: int) -> None:
        with self._table_of(number) as space:
            if not space.freeing and space.table.get(u64(page)) == 0:
                space.table.set(u64(page), self.fresh(), True, False)

    def _take_away(self, space: Space, page: int) -> tuple[int, int]:
        """What the page shows is about to be taken away: others may use it until it is taken off `going` again."""
        going = (page, int(space.table.get(u64(page))) & (ADDRESS | RIGHTS))
        space.going.append(going)
        return going

    def unmap(self, number: int, page: int) -> None:
        """Also of an address space that is not the running task's."""
        with self._table_of(number) as space:
            if space.table.get(u64(page)) == 0:
                return
            going = self._take_away(space, page)
            space.table.clear(u64(page))
        tlb.shoot_down(space.table, u64(page), u64(page + 4096))
        space.going.remove(going)

    def protect(self, number: int, page: int) -> None:
        """Take the right to write away."""
        with self._table_of(number) as space:
            entry = space.table.get(u64(page))
            if entry & paging.WRITE == 0:
                return
            going = self._take_away(space, page)
            space.table.set_entry(u64(page), paging.without_write(entry))
        tlb.shoot_down(space.table, u64(page), u64(page + 4096))
        space.going.remove(going)

    def replace(self, number: int, page: int) -> None:
        """Let a page show another frame, which nobody sees while somebody sees the old one."""
        with self._table_of(number) as space:
            if space.freeing or space.table.get(u64(page)) == 0:
                return
            going = self._take_away(space, page)
            space.table.show_other(u64(page), paging.make_entry(self.fresh(), True, False, True))
            space.going.remove(going)

    def free(self, number: int) -> None:
        """Give tables back: those without pages. mm's other lock keeps pages from coming meanwhile."""
        self.step()
        space = self.spaces[number]
        if not space.alive or space.freeing:
            return
        space.freeing = True
        for page in PAGES:
            self.unmap(number, page)
        with self._table_of(number):
            self._free(space, lambda: space.table.free_range(u64(0), u64(1 << 40)))
        space.freeing = False

    def _free(self, space: Space, free: Callable[[], None]) -> None:
        root = int(space.table.root)
        space.tables_going = [(page >> 21, walk(root, page)) for page in PAGES]
        free()
        space.tables_going = []

    def _is_unused(self, space: Space) -> bool:
        busy = space.freeing or space.locked or space.going
        return space.alive and not busy and all(one.space is not space for one in self.processors)

    def leave(self, number: int) -> None:
        """Only the first step of an address space's end, whose task then sleeps."""
        self.step()
        space = self.spaces[number]
        if self._is_unused(space):
            space.alive = False
            space.table.leave()
            self.idle()
            space.left = True

    def finish(self, number: int) -> None:
        """The rest: the task goes on here."""
        self.step(lambda: self.spaces[number].left)
        self.end(number)

    def end(self, number: int) -> None:
        """The end of an address space, if nobody's task has it, and the birth of another in the same object."""
        self.step()
        space = self.spaces[number]
        if not space.left and not self._is_unused(space):
            return
        space.alive, space.freeing = False, True
        dying = Space(space.table)
        dying.alive = False
        entries = list(space.table.take_range(u64(0), u64(1 << 40)))
        dying.going = [(int(va), int(entry) & (ADDRESS | RIGHTS)) for va, entry in entries]
        self.spaces[number] = dying
        self._free(dying, lambda: _end(space.table))
        dying.going = []
        root = int(space.table.root)
        for one in self.processors:
            kept = one is self.running and root == int(one.local().left_root) == int(one.local().spare_root)
            assert one.cr3 & ADDRESS != root or kept, "somebody has loaded what is freed"
        space.table.__init__()
        reborn = Space(space.table)
        for page in PAGES:
            reborn.table.set(u64(page), self.fresh(), True, False)
        reborn.born(self)
        self.spaces[number] = reborn


_end = PageTable.__del__


def by_orders(run: Callable[[Choice], None], preemptions: int) -> int:
    """run() in every order of steps in which a processor that could go on is made to wait at most so often; gives how
    many orders there are."""
    forced: list[int] = []
    orders = 0
    while True:
        taken: list[tuple[int, list[int]]] = []
        left = preemptions

        def choose(ready: list[int], last: int) -> int:
            nonlocal left
            kept = last in ready
            others = [number for number in ready if number != last] if not kept or left else []
            options = ([last] if kept else []) + others
            at = forced[len(taken)] if len(taken) < len(forced) else 0
            taken.append((at, options))
            if kept and options[at] != last:
                left -= 1
            return options[at]

        run(choose)
        orders += 1
        while taken and taken[-1][0] + 1 == len(taken[-1][1]):
            taken.pop()
        if not taken:
            return orders
        forced = [at for at, _ in taken[:-1]] + [taken[-1][0] + 1]
