# SPDX-License-Identifier: Apache-2.0
"""fork: a second address space with the same contents.

Areas are copied one by one. Page-table entries are copied only where a fault could not find the page again: in private
areas that may hold private pages. Those pages lose the right to be written in both, and the first write copies
(faults._copy_on_write). Faults of the parent's other threads wait for its lock; what they write through translations
that their processors remember is seen by both, until these are shot down at the end. Pages of files, and of shared
memory, come back by faults out of the page cache, but for those around the instruction that both go on with.

Pages that both will write to are copied at once, which saves each a fault: the one that the stack pointer is in, and a
few that the parent has written to since it forked last, if a fault had to copy them after an earlier fork (COPIED).
They stay writable; at the next fork the dirty bit tells which were written to again, and the others are shared. Of a
parent with several threads only the stack's page is: what another thread writes meanwhile, to one page and then to
another that is shared still, the child would see of the second alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.mm import buddy, faults, file_mappings, frame, overcommit, pages, reclaim
from kaa.kernel.mm.frame import COPIED, PAGE_SIZE
from kaa.kernel.mm.vma import ACCOUNTED, EXEC, LOCKED, NO_FORK, SHARED, SPECIAL, WIPE_ON_FORK, WRITE, Vma
from kaa.lang import ZERO, Array, noinline, popcount, struct, trailing_zeros, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace

FEW: Final = 32
"""Pages that are forgotten one by one."""
MOST: Final = 8
"""Pages that are copied at once, beside the stack's."""
WORD: Final = 8


@struct
class Written:
    """The private pages that the parent could write to: how many, and the first few of them."""

    pages: Array[u64, FEW] = ZERO
    count: u32 = 0
    wanted: u32 = 0
    """Those that the child will write to as well, it seems, as a set of places in `pages`."""

    def note(self, va: u64, wanted: bool) -> None:
        """One more."""
        if self.count < FEW:
            self.pages[self.count] = va
            if wanted and popcount(self.wanted) < MOST:
                self.wanted |= u32(1) << self.count
        self.count += 1


def fork(parent: AddressSpace, stack: u64, code: u64) -> AddressSpace:
    """A copy, for a child whose stack pointer will be `stack`, and which goes on at `code`. Raises MemoryError: the
    parent is as it was, but for some pages that will be found writable again. When this returns no processor can write
    to a page that the child shares."""
    from kaa.kernel.mm.address_space import AddressSpace as Space

    if buddy.is_low() and reclaim.may_reclaim():
        reclaim.free_some(u64(128))
    child = Space()
    with parent.lock.write():
        if overcommit.is_strict() and not overcommit.may_commit(parent.committed_pages):
            raise MemoryError
        _copy_layout(parent, child)
        with child.lock.write_nested():
            _copy_areas(parent, child)
            # Truncate walks a file's areas, the parent's first: what is copied before it comes to that, it finds in
            # the child's; later there is nothing left to copy.
            file_mappings.link_copies(child.areas, parent.areas)
            written = Written()
            try:
                for vma in parent.areas:
                    if _has_own_contents(vma):
                        _copy_entries(parent, child, vma.start, vma.end, written)
                _copy_entries_around(parent, child, code, written)
                _copy_page(parent, child, stack - min(stack, WORD))
                if written.wanted != 0 and not parent.is_shared.load_relaxed():
                    _copy_wanted(parent, child, written)
            finally:
                _forget_rights(parent, written)
    return child


def _copy_layout(parent: AddressSpace, child: AddressSpace) -> None:
    child.executable = parent.executable
    child.map_top = parent.map_top
    child.start_code = parent.start_code
    child.end_code = parent.end_code
    child.start_data = parent.start_data
    child.end_data = parent.end_data
    child.start_break = parent.start_break
    child.program_break = parent.program_break
    child.start_stack = parent.start_stack
    child.argument_start = parent.argument_start
    child.argument_end = parent.argument_end
    child.environment_start = parent.environment_start
    child.environment_end = parent.environment_end
    child.auxv_address = parent.auxv_address
    child.auxv_size = parent.auxv_size
    child.vdso_address = parent.vdso_address
    child.membarrier.store_relaxed(parent.membarrier.load_relaxed())
    child.doomed.store_relaxed(parent.doomed.load_relaxed())


def _copy_areas(parent: AddressSpace, child: AddressSpace) -> None:
    """The areas, without contents, and not yet known to their files: if memory ends, they go again."""
    try:
        for vma in parent.areas:
            if vma.flags & NO_FORK == 0:
                _copy_area(child, vma)
    except MemoryError:
        child.areas.clear()
        raise


def _copy_area(child: AddressSpace, vma: Vma) -> None:
    """Locks on memory are not inherited (mlock(2)); wiped areas start empty."""
    if vma.flags & ACCOUNTED != 0 and not overcommit.may_commit(vma.pages()):
        raise MemoryError
    twin = vma.part(vma.start, vma.end)
    twin.flags = vma.flags & ~LOCKED
    if vma.flags & WIPE_ON_FORK != 0:
        twin.has_copies.store_relaxed(False)
    child.insert(twin)


def _forget_rights(parent: AddressSpace, written: Written) -> None:
    """No processor remembers that it may write to what the child shares. Few pages are forgotten one by one, if nobody
    else is to be interrupted for each: most of what processors remember then stays. What was not writable before was
    forgotten when it ceased to be."""
    with parent.table_lock:
        if written.count > FEW or parent.page_table.is_busy():
            pages.flush(parent, u64(0), machine.paging.USER_END)
            return
        for index in range(written.count):
            va = written.pages[index]
            if machine.paging.entry_writable(parent.page_table.get(va)):
                machine.paging.flush_page(va)  # that the page was dirty
            else:
                pages.flush(parent, va, va + PAGE_SIZE)


def _has_own_contents(vma: Vma) -> bool:
    """Whether the child's area has entries that a fault could not find again."""
    return vma.flags & (SHARED | SPECIAL | WIPE_ON_FORK | NO_FORK) == 0 and vma.has_copies.load_relaxed()


def _copy_entries(parent: AddressSpace, child: AddressSpace, first: u64, end: u64, written: Written) -> None:
    """Truncate may be walking the child's table too, for the areas that it has already: so both tables' locks are held,
    the child's first. They are given up after each table, so that preemption is not off for long. Should memory for the
    child's run out, what was copied is counted, and the child's end undoes it."""
    with parent.table_lock:
        start = parent.page_table.next_table(first, end)
    while start != end:
        stop = min(end, (start | (pages.TABLE_SPAN - 1)) + 1)
        with child.table_lock:
            child.page_table.reserve(start)
            with parent.table_lock.nested():
                _copy_table(parent, child, start, stop, written)
                start = parent.page_table.next_table(stop, end)


def _copy_table(parent: AddressSpace, child: AddressSpace, start: u64, stop: u64, written: Written) -> None:
    """The entries of one table, which the child has already. Under the `table_lock` of both."""
    private: u64 = 0
    cached: u64 = 0
    for va, entry in parent.page_table.copy_range(child.page_table, start, stop):
        if entry & pages.MARKS == 0:
            frame.get_page(machine.paging.entry_pfn(entry))
            private += 1
            if machine.paging.entry_writable(entry):
                _note_written(written, va, entry)
        elif entry & pages.FILE != 0:
            cached += 1
    child.gain_pages(private, cached)


def _copy_entries_around(parent: AddressSpace, child: AddressSpace, code: u64, written: Written) -> None:
    """What a fault at the instruction to go on with would find, if it lies in pages of a file."""
    vma = parent.find(code)
    if vma is None or vma.shown is None or vma.flags & (SHARED | NO_FORK) != 0 or _has_own_contents(vma):
        return
    window = code & ~u64(faults.AROUND - 1)
    _copy_entries(parent, child, max(window, vma.start), min(window + faults.AROUND, vma.end), written)


@noinline
def _note_written(written: Written, va: u64, entry: u64) -> None:
    """The parent could write to the page. The child will too, if it or the parent did so first after an earlier fork,
    and the parent has since the last."""
    pfn = machine.paging.entry_pfn(entry)
    copied = frame.test_flags(pfn, COPIED)
    dirty = machine.paging.entry_dirty(entry)
    if copied and not dirty:
        frame.clear_flags(pfn, COPIED)
    written.note(va, copied and dirty)


def _copy_wanted(parent: AddressSpace, child: AddressSpace, written: Written) -> None:
    wanted = written.wanted
    while wanted != 0:
        _copy_page(parent, child, written.pages[trailing_zeros(wanted)])
        wanted &= wanted - 1


def _copy_page(parent: AddressSpace, child: AddressSpace, va: u64) -> None:
    """Copy one page that both will write to, if the child has not its own yet. Without memory it is shared like the
    others. Under the `lock` of both."""
    vma = child.find(va)
    if vma is None or vma.flags & WRITE == 0 or not _has_own_contents(vma) or buddy.is_low():
        return
    with child.table_lock:
        if machine.paging.entry_writable(child.page_table.get(va)):
            return
    try:
        fresh = buddy.allocate_page()
    except MemoryError:
        return
    copied = False
    with child.table_lock:
        with parent.table_lock.nested():
            copied = _show_copy(parent, child, va, fresh, vma.flags & EXEC != 0)
    if not copied:
        frame.put_page(fresh)


def _show_copy(parent: AddressSpace, child: AddressSpace, va: u64, fresh: u64, executable: bool) -> bool:
    """Let the child's entry show a copy of the page, if it and the parent's show the same private one, which is the
    parent's alone again if nobody else has it. Under the `table_lock` of both; nobody has loaded the child's table."""
    entry = child.page_table.get(va)
    own = parent.page_table.get(va)
    shown = machine.paging.entry_present(entry) and entry & pages.MARKS == 0
    pfn = machine.paging.entry_pfn(entry)
    if not shown or not machine.paging.entry_present(own) or machine.paging.entry_pfn(own) != pfn:
        return False
    frame.copy_contents(fresh, pfn)
    frame.set_flags(fresh, COPIED)
    child.page_table.set_entry(va, machine.paging.with_write(machine.paging.make_entry(fresh, True, executable, True)))
    frame.drop_reference(pfn)  # the parent has it
    if frame.refcount(pfn) == 1:
        parent.page_table.set_entry(va, machine.paging.without_dirty(machine.paging.with_write(own)))
    return True
