# SPDX-License-Identifier: Apache-2.0
"""The page table of a user address space, as mm sees it: a map from page addresses to entries, plus fork's and exit's
walks.

The lock is mm's: all methods but activate() want the address space's page-table lock. No method touches page counts:
mm does so for the entries it gets. Flushing the TLB (tlb.py) is the caller's, since it knows what it changed and how
much; and it comes before pages that other processors may still see are freed.
The processor itself sets accessed and dirty bits in entries, on any processor that has the table loaded: entries are
taken out and changed by atomic instructions, so that none is lost.
`last_region`/`last_table` remember the last-level table used last: faults and walks are mostly sequential.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch.x86_64 import instructions, irq, paging, pcid, percpu, tlb, tlb_slots
from kaa.lang import Atomic, Guarded, cold, inline, noinline, recursive, u64, wrapping_add, wrapping_sub
from kaa.lang.unsafe import Ptr, address_of, asm, class_at, copy_bytes

if TYPE_CHECKING:
    from kaa.kernel.arch.x86_64.percpu import CpuLocal

NO_REGION = 0xFFFF_FFFF_FFFF_FFFF
TABLE_FLAGS = 0x67
"""Present, writable, user, accessed, dirty: a table entry forbids nothing, the page entries do."""
ADDRESS = 0x000F_FFFF_FFFF_F000
REGION_SHIFT = 21
REGION_MASK = (1 << REGION_SHIFT) - 1
ROOT_HALF = 2048
NOT_WRITE = 0xFFFF_FFFF_FFFF_FFFD
NOT_EXECUTE = 0x7FFF_FFFF_FFFF_FFFF


@asm("xchgq %0, (%2)", out="=r", ins=["0", "r"], clobber="memory")
def _swap(value: u64, address: u64) -> u64:
    """Store `value`; gives what was there, at once."""
    was = Ptr[u64](address)[0]
    Ptr[u64](address)[0] = value
    return was


@asm("lock; cmpxchgq %3, (%2)", out="=a", ins=["0", "r", "r"], clobber="memory,cc")
def _swap_if(old: u64, address: u64, new: u64) -> u64:
    """Store `new` if `old` is there, at once; gives what was there."""
    was = Ptr[u64](address)[0]
    if was == old:
        Ptr[u64](address)[0] = new
    return was


def _below(entry: u64) -> Ptr[u64]:
    """The table an entry points to."""
    return Ptr[u64](paging.direct_map(entry & ADDRESS))


def _used(table: Ptr[u64], first: u64, stop: u64) -> Iterator[tuple[u64, u64]]:
    """The addresses from `first` on, below `stop`, that have an entry in a last-level table, each with its index there.
    Most tables are mostly empty: groups of sixteen entries are passed over at once."""
    index = (first >> 12) & 511
    base = wrapping_sub(first, index << 12)
    last = wrapping_sub(stop, base) >> 12
    while index < last:
        edge = min(wrapping_add(index, 16), last)
        if wrapping_sub(edge, index) == 16 and _is_empty(table + index):
            index = edge
        while index < edge:
            if table[index] != 0:
                yield wrapping_add(base, index << 12), index
            index = wrapping_add(index, 1)


@inline
def _is_empty(group: Ptr[u64]) -> bool:
    """Whether none of sixteen entries is there. In a full group the first says so."""
    if group[0] != 0:
        return False
    lower = group[1] | group[2] | group[3] | group[4] | group[5] | group[6] | group[7]
    upper = group[8] | group[9] | group[10] | group[11] | group[12] | group[13] | group[14] | group[15]
    return lower | upper == 0


def _new_table() -> u64:
    """An entry with a fresh empty table. Raises MemoryError."""
    from kaa.kernel.mm import buddy

    return buddy.allocate_zeroed() << 12 | TABLE_FLAGS


def _free_table(entry: u64) -> None:
    from kaa.kernel.mm import buddy

    buddy.free_pages((entry & ADDRESS) >> 12, 0)


class PageTable:
    """A root, and the tables below its user half, which it owns (not the pages)."""

    root: Final[u64]
    active: Atomic[u64]
    """The processors on which the table is loaded: tlb.py says in which order."""
    space: Final[u64]
    """Its number among all there ever were, for tlb_slots.py; 0 where processors keep no slots."""
    generation: Atomic[u64]
    """How often it was shot down, where processors keep slots."""
    tables: Guarded[u64, "AddressSpace.table_lock"]
    """Tables in use, for accounts (VmPTE)."""
    last_region: Guarded[u64, "AddressSpace.table_lock"]
    last_table: Guarded[u64, "AddressSpace.table_lock"]
    detached: Guarded[u64, "AddressSpace.table_lock"]
    """First of the tables that are out of the tree but not freed yet, linked through their frames' descriptors."""

    def __init__(self) -> None:
        """An empty user half beside the kernel's half. Raises MemoryError."""
        from kaa.kernel.mm import buddy

        self.active = Atomic(0)
        self.space = tlb_slots.numbers.next() if pcid.choice.on else u64(0)
        self.generation = Atomic(0)
        self.tables = u64(1)
        self.last_region = u64(NO_REGION)
        self.last_table = u64(0)
        self.detached = u64(0)
        root = _take_spare()
        if root == 0:
            root = buddy.allocate_zeroed() << 12
            upper = paging.direct_map(root) + ROOT_HALF
            copy_bytes(upper, paging.direct_map(paging.kernel.root) + ROOT_HALF, ROOT_HALF)
        self.root = root

    def __del__(self) -> None:
        """Free all tables. The pages they named are mm's affair, and gone by now."""
        if self.root == 0:
            return
        self.leave()
        self.free_range(u64(0), u64(1 << 47))
        unused = _keep_loaded(self.root)
        if unused != 0:
            _free_table(unused)

    def leave(self) -> None:
        """No processor uses it from here on: it is nobody's any more, but some keep it lazily. What is taken out of it
        after that need not be forgotten by anyone. This processor may have it in CR3 still (`abandon`)."""
        if self.active.load() != 0:
            tlb.leave_everywhere(self)

    def activate(self) -> None:
        """Make this the processor's address space; nothing to do when it is already. Interrupts are off."""
        local = percpu.local()
        if local.active_root == self.root:
            return
        if pcid.choice.on:
            self._activate_slot()
        else:
            previous = self._note(local)
            instructions.write_cr3(self.root)
            local.left_root = 0
            _leave(previous, local.bit)

    @noinline
    def _activate_slot(self) -> None:
        """The same where translations outlive a switch."""
        local = percpu.local()
        previous = self._note(local)
        pcid.load(self.root, self.space, self.generation.load())
        _leave(previous, local.bit)

    @inline
    def _note(self, local: CpuLocal) -> u64:
        """This processor is about to load the table; gives the table before."""
        self.active.fetch_or(local.bit)
        previous = local.active_table
        local.active_table = address_of(self)
        local.active_root = self.root
        return previous

    def is_busy(self) -> bool:
        """Whether several processors have it loaded: taking something back would interrupt them. A guess."""
        active = self.active.load_relaxed()
        return active & (active - min(active, 1)) != 0

    # -- single pages

    def _find(self, va: u64) -> Ptr[u64]:
        """The last-level table for `va`, null when there is none."""
        region = va >> REGION_SHIFT
        if region == self.last_region:
            return Ptr[u64](self.last_table)
        entry = Ptr[u64](paging.direct_map(self.root))[(va >> 39) & 511]
        if entry == 0:
            return Ptr[u64](0)
        entry = _below(entry)[(va >> 30) & 511]
        if entry == 0:
            return Ptr[u64](0)
        entry = _below(entry)[(va >> REGION_SHIFT) & 511]
        if entry == 0:
            return Ptr[u64](0)
        table = _below(entry)
        self.last_region = region
        self.last_table = table.address
        return table

    @cold
    def _make(self, va: u64) -> Ptr[u64]:
        """The last-level table for `va`, made with what is missing above it. Raises MemoryError."""
        table = Ptr[u64](paging.direct_map(self.root))
        shift: u64 = u64(39)
        while shift >= REGION_SHIFT:
            index = (va >> shift) & 511
            entry = table[index]
            if entry == 0:
                entry = _new_table()
                self.tables += 1
                table[index] = entry
            table = _below(entry)
            shift -= 9
        self.last_region = va >> REGION_SHIFT
        self.last_table = table.address
        return table

    def get(self, va: u64) -> u64:
        """The entry of the page of `va`, 0 if none."""
        table = self._find(va)
        if not table:
            return u64(0)
        return table[(va >> 12) & 511]

    def set_entry(self, va: u64, entry: u64) -> None:
        """Put an entry. Raises MemoryError when a table is missing and cannot be had."""
        table = self._find(va)
        if not table:
            table = self._make(va)
        table[(va >> 12) & 511] = entry

    def set(self, va: u64, pfn: u64, writable: bool, executable: bool) -> None:
        """Map a page for user mode. Raises MemoryError."""
        self.set_entry(va, paging.make_entry(pfn, writable, executable, True))

    def reserve(self, va: u64) -> None:
        """Make sure that set() for this page cannot fail. Raises MemoryError."""
        if not self._find(va):
            self._make(va)

    def clear(self, va: u64) -> u64:
        """Take the entry of a page out; gives it, 0 if none."""
        table = self._find(va)
        if not table:
            return u64(0)
        return _swap(u64(0), (table + ((va >> 12) & 511)).address)

    def show_other(self, va: u64, entry: u64) -> None:
        """Put another entry in the place of one that is there. No processor has the one when another has the other.
        Preemption is off, interrupts are on."""
        slot = (self._find(va) + ((va >> 12) & 511)).address
        _swap(u64(0), slot)  # a full barrier: see tlb.py
        if pcid.choice.on or self.active.load_relaxed() & ~percpu.local().bit != 0:
            tlb.shoot_down(self, va, va + 4096)
        elif percpu.local().active_root == self.root:
            instructions.invalidate_page(va)
        Ptr[u64](slot)[0] = entry

    def protect(self, va: u64, writable: bool, executable: bool) -> None:
        """Change what one present page allows."""
        table = self._find(va)
        if table:
            _change(table + ((va >> 12) & 511), writable, executable)

    def replace(self, va: u64, old: u64, new: u64) -> bool:
        """Put `new` in place of the entry `old`; False if the entry is not `old` (the processor may have set its
        accessed or dirty bit meanwhile)."""
        table = self._find(va)
        return bool(table) and _swap_if(old, (table + ((va >> 12) & 511)).address, new) == old

    # -- walks

    def next_table(self, start: u64, end: u64) -> u64:
        """The first address from `start` on that has a last-level table; `end` if none below has."""
        va = start
        while va < end:
            if self._find(va):
                return va
            va = self._next(va)
        return end

    def _next(self, va: u64) -> u64:
        """Where to look on when `va` has no last-level table: past the missing table's span."""
        entry = Ptr[u64](paging.direct_map(self.root))[(va >> 39) & 511]
        if entry == 0:
            return (va | ((1 << 39) - 1)) + 1
        entry = _below(entry)[(va >> 30) & 511]
        if entry == 0:
            return (va | ((1 << 30) - 1)) + 1
        return (va | REGION_MASK) + 1

    def tables_between(self, start: u64, end: u64) -> Iterator[tuple[u64, u64, u64]]:
        """For each last-level table that covers a part of the range: its address, and the part's (start, end)."""
        va = start
        while va < end:
            table = self._find(va)
            if table:
                stop = min(end, (va | REGION_MASK) + 1)
                yield table.address, va, stop
                va = stop
            else:
                va = self._next(va)

    def entries(self, start: u64, end: u64) -> Iterator[tuple[u64, u64]]:
        """(va, entry) for each page present in the range, ascending."""
        for address, first, stop in self.tables_between(start, end):
            for va, index in _used(Ptr[u64](address), first, stop):
                yield va, Ptr[u64](address)[index]

    def take_range(self, start: u64, end: u64) -> Iterator[tuple[u64, u64]]:
        """Take the entries of the range out, giving each as (va, entry)."""
        for address, first, stop in self.tables_between(start, end):
            for va, index in _used(Ptr[u64](address), first, stop):
                yield va, _swap(u64(0), (Ptr[u64](address) + index).address)

    def copy_range(self, child: PageTable, start: u64, end: u64) -> Iterator[tuple[u64, u64]]:
        """fork: copy the range's entries to `child` without the right to write, which they lose here too (copy on
        write). Gives (va, entry) for each, as it was. Raises MemoryError: then what was given so far is in the child,
        and only that."""
        for address, first, stop in self.tables_between(start, end):
            child.reserve(first)
            table = Ptr[u64](address)
            other = Ptr[u64](child.last_table)
            for va, index in _used(table, first, stop):
                entry = table[index]
                if entry & 2 != 0:
                    # Not atomic: an accessed or dirty bit set just now may be lost. Nothing relies on either
                    # (mm notes writes by faults), and fork makes many of these.
                    table[index] = entry & NOT_WRITE
                other[index] = entry & NOT_WRITE
                yield va, entry

    def protect_range(self, start: u64, end: u64, writable: bool, executable: bool) -> None:
        """Change what the pages present in the range allow."""
        for address, first, stop in self.tables_between(start, end):
            table = Ptr[u64](address)
            va = first
            while va < stop:
                _change(table + ((va >> 12) & 511), writable, executable)
                va += 4096

    # -- giving tables back

    def free_range(self, start: u64, end: u64) -> None:
        """Free each table whose whole span lies in the range, once no processor walks it any more. The caller took all
        entries out before."""
        self.last_region = u64(NO_REGION)
        self._detach_level(Ptr[u64](paging.direct_map(self.root)), u64(39), start, end, u64(0))
        if self.detached != 0:
            paging.shoot_down(self, start, end)
            _forget_upper_tables(self.root)
            self._free_detached()

    @recursive(4, "each level has a smaller shift, 39 to 12 by 9")
    def _detach_level(self, table: Ptr[u64], shift: u64, start: u64, end: u64, base: u64) -> None:
        """Take what hangs below `table` (whose span starts at `base`) within the range out of the tree. Three levels
        deep at most."""
        span: u64 = u64(1) << shift
        index = (max(start, base) - base) >> shift
        va = base + (index << shift)
        while va < end and index < 512:
            if index & 15 == 0 and _is_empty(table + index):
                index += 16
                va += span << 4
                continue
            entry = table[index]
            if entry != 0:
                if shift > REGION_SHIFT:
                    self._detach_level(_below(entry), shift - 9, start, end, va)
                if start <= va and va + span <= end:
                    table[index] = 0
                    self._detach(entry)
            index += 1
            va += span

    def _detach(self, entry: u64) -> None:
        from kaa.kernel.mm import frame

        pfn = (entry & ADDRESS) >> 12
        frame.page(pfn).next = self.detached
        self.detached = pfn
        self.tables -= 1

    def _free_detached(self) -> None:
        from kaa.kernel.mm import buddy, frame

        pfn = self.detached
        self.detached = u64(0)
        while pfn != 0:
            following = u64(frame.page(pfn).next)
            buddy.free_pages(pfn, 0)
            pfn = following


def _change(slot: Ptr[u64], writable: bool, executable: bool) -> None:
    """Give the entry, if there is one, other rights."""
    entry = slot[0]
    while entry != 0:
        found = _swap_if(entry, slot.address, _with_protection(entry, writable, executable))
        if found == entry:
            return
        entry = found


def _with_protection(entry: u64, writable: bool, executable: bool) -> u64:
    """The entry with other rights."""
    entry &= NOT_WRITE & NOT_EXECUTE
    if writable:
        entry |= 2
    if not executable:
        entry |= 1 << 63
    return entry


def activate_kernel() -> None:
    """Leave user address spaces: run on the kernel's own root. Interrupts are off."""
    local = percpu.local()
    if local.active_root != paging.kernel.root or local.left_root != 0:
        previous = _note_kernel(local)
        pcid.load_kernel(paging.kernel.root)
        local.left_root = 0
        _leave(previous, local.bit)


@inline
def _note_kernel(local: CpuLocal) -> u64:
    """As PageTable._note, of the kernel's own root."""
    previous = local.active_table
    local.active_table = 0
    local.active_root = paging.kernel.root
    return previous


def abandon(root: u64) -> None:
    """As activate_kernel if this root is loaded, but without a load: who ends switches to another task soon, which
    loads its own. Until then nothing here uses user addresses, and what the processor remembers of them does no harm,
    if it forgets tables before they are freed (`_forget_upper_tables`). Interrupts are off."""
    local = percpu.local()
    if local.active_root == root:
        if pcid.choice.on:
            activate_kernel()
            return
        previous = _note_kernel(local)
        local.left_root = root
        _leave(previous, local.bit)


@inline
def finish_leaving() -> None:
    """A kernel thread runs next: who left a root loaded does not run here meanwhile, and may go on elsewhere, where it
    is not seen that this processor has it. Interrupts are off."""
    if percpu.local().left_root != 0:
        activate_kernel()


def _forget_upper_tables(root: u64) -> None:
    """Tables below a root that was left are about to be freed. To forget any page is to forget what the processor
    remembers of all upper tables (Intel SDM 3, 4.10.4.1; AMD64 APM 2, 5.5: while EFER.TCE is 0, as it is): it walks
    none of these any more, not even for guesses."""
    saved = irq.save()
    if percpu.local().left_root == root:
        instructions.invalidate_page(u64(0))
    irq.restore(saved)


def _take_spare() -> u64:
    """This processor's spare root, if it has one that is not loaded; else 0."""
    saved = irq.save()
    local = percpu.local()
    root = local.spare_root
    if root == local.left_root:
        root = u64(0)
    else:
        local.spare_root = 0
    irq.restore(saved)
    return root


def _keep_loaded(root: u64) -> u64:
    """A table is gone but for its root. If that is loaded here still, it becomes the spare. Gives the root to be freed,
    0 if none."""
    unused = root
    saved = irq.save()
    local = percpu.local()
    if local.left_root == root:
        unused = local.spare_root
        local.spare_root = root
    irq.restore(saved)
    return unused


def _leave(previous: u64, bit: u64) -> None:
    """The processor has loaded another root than this PageTable's (0: it was the kernel's). The table is alive: it has
    had the processor in its set until here."""
    if previous != 0:
        class_at(PageTable, previous).active.fetch_and(~bit)
