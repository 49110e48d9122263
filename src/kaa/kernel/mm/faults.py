# SPDX-License-Identifier: Apache-2.0
"""Bringing pages in: what a touch of user memory means, by the area it falls into.

Each step looks at the page-table entry under `table_lock`, prepares a page without it, and installs the page if the
entry is still what it was. If not, somebody else was faster: the touch is simply made again. So "resolved" means
"worth another try", which is all that the processor, and `AddressSpace.user_page`, need to know.

A private page is installed only while the address space is not doomed, a page of a file (or a copy of one) only while
it is in its cache: whoever takes such pages away first says so and then looks for entries, under the same lock.

The address space's lock is held (reading) throughout, also while a page is read from a file: a file system's read_page
must therefore take no lock under which user memory is copied (the inode's). It is given up for one thing: where several
processors use the memory, several pages are zeroed without it, and the area is looked up again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel import signal  # noqa: E402  (rooms that know each other import modules, not names)
from kaa.kernel.abi.resource import Resource
from kaa.kernel.arch import machine
from kaa.kernel.mm import buddy, frame, overcommit, pages
from kaa.kernel.mm.frame import CACHED, COPIED, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from kaa.kernel.mm.links import shown_by
from kaa.kernel.mm.vma import ACCOUNTED, EXEC, GROWS_DOWN, RANDOM, READ, RIGHTS, SHARED, WRITE
from kaa.kernel.process.limits import limit
from kaa.lang import Array, Slice, inline, noinline, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.mm.page_cache import PageCache
    from kaa.kernel.mm.vma import Vma

# Bits of `access`.
WRITING: Final = 1
FETCHING: Final = 2
USER: Final = 4

# Results.
RESOLVED: Final = 0
NO_AREA: Final = 1
"""Nothing is mapped there: SEGV_MAPERR."""
NO_RIGHT: Final = 2
"""The area forbids it: SEGV_ACCERR."""
BEYOND_END: Final = 3
"""The file ends before: BUS_ADRERR."""
DYING: Final = 4
"""The OOM killer has taken the memory; the process will not run again."""
MANY: Final = 16
"""Of `_resolve_in` only: so many zeroed pages, above this, are to be made without the lock."""

AROUND: Final = 0x1_0000
"""Bytes of a file that one read fault maps at most, aligned: 16 pages, those in the cache."""
AHEAD: Final = 32
"""Pages that one first touch of anonymous memory brings in at most."""
LONGEST: Final = 6
"""As far as touches in a row are counted: AHEAD is a half of 1 << LONGEST."""
STREAK: Final = 0xFFF
"""Task.next_touch: an address, whose low bits count how many touches in a row came where they were expected."""
STACK_GAP: Final = 0x10_0000


def resolve(space: AddressSpace, address: u64, access: u32) -> u32:
    """Bring the page of address in for such an access. Raises MemoryError, or the OSError of a failed read."""
    va = address & PAGE_MASK
    result: u32 = NO_AREA
    space.lock.acquire_read()
    try:
        vma = space.areas.find(va)
        if vma is not None:
            result = _resolve_in(space, vma, va, access)
            if result < MANY:
                return result
    finally:
        space.lock.release_read()
    return _grow_stack(space, va) if result == NO_AREA else _bring_in_beside_others(space, va, result - MANY)


@inline
def _wanted_right(access: u32) -> u32:
    if access & WRITING != 0:
        return u32(WRITE)
    return u32(EXEC) if access & FETCHING != 0 else u32(READ | WRITE | EXEC)


def _resolve_in(space: AddressSpace, vma: Vma, va: u64, access: u32) -> u32:
    """A page that can be written or executed can be read too: the processor knows no other."""
    if vma.flags & _wanted_right(access) == 0:
        return NO_RIGHT
    if space.doomed.load_relaxed():
        return DYING
    with space.table_lock:
        entry = space.page_table.get(va)
    if entry != 0:
        return _present(space, vma, va, entry, access)
    if vma.shown is not None:
        return _from_file(space, vma, va, access)
    if vma.special != 0:
        return _lend(space, vma, va, access)
    return _anonymous(space, vma, va, access)


# -- private anonymous memory


def _anonymous(space: AddressSpace, vma: Vma, va: u64, access: u32) -> u32:
    """First touch. A read sees the zero page until somebody writes, unless several processors use the memory: they
    would all have to be interrupted then, to forget it."""
    executable = vma.flags & EXEC != 0
    if access & WRITING == 0 and not _will_be_written(space, vma):
        _install(space, va, pages.make_lent_entry(pages.zero_page.number(), executable))
        return RESOLVED
    vma.note_copy()
    number = _wanted_pages(vma, va)
    if number > 1:
        if space.page_table.is_busy():
            return MANY + number
        _install_some(space, va, number, executable)
        return RESOLVED
    fresh = buddy.allocate_zeroed()
    entry = machine.paging.with_write(machine.paging.make_entry(fresh, True, executable, True))
    _install_private(space, vma, va, entry, fresh, u64(0))
    return RESOLVED


@inline
def _wanted_pages(vma: Vma, va: u64) -> u32:
    """How many pages to bring in, from the touched one on, so that a program that walks up through its memory faults
    less often: one for its first two touches, then ever more, but never more that nobody asked for than were touched
    one after the other before."""
    task = machine.percpu.current()
    noted = task.next_touch
    streak = u32(noted & STREAK) if noted & PAGE_MASK == va else u32(0)
    number = u32(1) if streak < 2 else _more_pages(vma, va, streak)
    task.next_touch = va + (u64(number) << PAGE_SHIFT) + min(streak + 1, LONGEST)
    return number


@noinline
def _more_pages(vma: Vma, va: u64, streak: u32) -> u32:
    """As many as were touched in a row, within the area and the page table, while memory is plenty."""
    if vma.flags & RANDOM != 0 or buddy.is_low():
        return u32(1)
    room = min(vma.end - va, pages.to_table_end(va)) >> PAGE_SHIFT
    return u32(min(room, u64(AHEAD), u64(1) << (streak - 1)))


@noinline
def _install_some(space: AddressSpace, va: u64, number: u32, executable: bool) -> None:
    """Private pages where there are none, the first at `va`; up to where there is one, or memory ends. Raises
    MemoryError when there is none for the first."""
    fresh = Array[u64, AHEAD]()
    count = _make_zeroed(fresh[:number])
    used: u32 = 0
    try:
        used = _install_fresh(space, va, fresh[:count], executable)
    finally:
        _give_up(fresh[used:count])


@noinline
def _bring_in_beside_others(space: AddressSpace, va: u64, number: u32) -> u32:
    """As _install_some, where several processors use the memory: those that change its areas do not wait for pages to
    be zeroed. What was found before may be over by then. Raises MemoryError."""
    fresh = Array[u64, AHEAD]()
    count = _make_zeroed(fresh[:number])
    used: u32 = 0
    try:
        with space.lock.read():
            vma = space.areas.find(va)
            if vma is not None and vma.flags & WRITE != 0 and vma.shown is None and vma.special == 0:
                vma.note_copy()
                count_here = min(u64(count), (vma.end - va) >> PAGE_SHIFT)
                used = _install_fresh(space, va, fresh[:count_here], vma.flags & EXEC != 0)
    finally:
        _give_up(fresh[used:count])
    return RESOLVED


def _make_zeroed(fresh: Slice[u64]) -> u32:
    """Fill with frames full of zeroes, as far as there are any; how many. Raises MemoryError when there is none."""
    fresh[0] = buddy.allocate_zeroed()
    count: u32 = 1
    try:
        while count < len(fresh):
            fresh[count] = buddy.allocate_zeroed()
            count += 1
    except MemoryError:
        pass
    return count


def _install_fresh(space: AddressSpace, va: u64, fresh: Slice[u64], executable: bool) -> u32:
    """Private pages from `va` on, up to where there is one; how many. Raises MemoryError."""
    used: u32 = 0
    with space.table_lock:
        space.page_table.reserve(va)
        while used < len(fresh) and not space.doomed.load_relaxed() and space.page_table.get(va) == 0:
            entry = machine.paging.make_entry(fresh[used], True, executable, True)
            space.page_table.set_entry(va, machine.paging.with_write(entry))
            space.gain_private()
            used += 1
            va += PAGE_SIZE
    return used


def _give_up(fresh: Slice[u64]) -> None:
    for pfn in fresh:
        frame.put_page(pfn)


def _will_be_written(space: AddressSpace, vma: Vma) -> bool:
    return vma.flags & WRITE != 0 and space.page_table.is_busy() and not buddy.is_low()


def _install(space: AddressSpace, va: u64, entry: u64) -> None:
    """Put an entry that is not counted where there is none. Raises MemoryError."""
    with space.table_lock:
        if space.page_table.get(va) == 0:
            space.page_table.set_entry(va, entry)


def _install_private(space: AddressSpace, vma: Vma, va: u64, entry: u64, fresh: u64, source: u64) -> None:
    """Put a private page where there is none, or give it up. A copy of `source` (0: of none) is of no use once that is
    no longer the file's. Raises MemoryError."""
    unused = fresh
    try:
        with space.table_lock:
            empty = space.page_table.get(va) == 0 and not space.doomed.load_relaxed()
            if empty and (source == 0 or _is_still_shown(vma, va, source)):
                space.page_table.set_entry(va, entry)
                space.gain_private()
                unused = u64(0)
    finally:
        if unused != 0:
            frame.put_page(unused)


@inline
def _is_still_shown(vma: Vma, va: u64, pfn: u64) -> bool:
    """Whether the page is in its cache and the file as long as that. Under `table_lock`: truncate changes the size,
    then empties the cache, then looks for entries."""
    cache = shown_by(vma)
    return cache is not None and frame.test_flags(pfn, CACHED) and vma.index_of(va) < cache.size_in_pages()


# -- entries that are there, but not enough


def _present(space: AddressSpace, vma: Vma, va: u64, entry: u64, access: u32) -> u32:
    executable = vma.flags & EXEC != 0
    if not machine.paging.entry_present(entry):
        # A page of what used to be PROT_NONE.
        pfn = machine.paging.entry_pfn(entry)
        _allow(space, va, entry, machine.paging.make_entry(pfn, False, executable, True) | (entry & pages.MARKS))
    elif access & WRITING != 0 and not machine.paging.entry_writable(entry):
        if vma.flags & SHARED != 0:
            _open_for_writing(space, vma, va, entry)
        else:
            _copy_on_write(space, vma, va, entry)
    else:
        # The entry allows it: another thread was faster, or the processor remembers an older one.
        machine.paging.flush_page(va)
    return RESOLVED


def _allow(space: AddressSpace, va: u64, old: u64, new: u64) -> None:
    """Let an entry that shows the same page allow more, if it is still the old one. Other processors need not know."""
    with space.table_lock:
        if space.page_table.get(va) == old:
            space.page_table.set_entry(va, new)
            machine.paging.flush_page(va)


def _open_for_writing(space: AddressSpace, vma: Vma, va: u64, entry: u64) -> None:
    """First write to a page of a shared mapping since it was clean. Dirty and writable are one step: write-back clears
    the one and then, under `table_lock`, the other."""
    cache = shown_by(vma)
    with space.table_lock:
        if space.page_table.get(va) == entry:
            if cache is not None:
                _mark_dirty(cache, machine.paging.entry_pfn(entry))
            space.page_table.set_entry(va, machine.paging.with_write(entry))
            machine.paging.flush_page(va)


def _mark_dirty(cache: PageCache, pfn: u64) -> None:
    if cache.backed:
        cache.mark_dirty(pfn)


def _copy_on_write(space: AddressSpace, vma: Vma, va: u64, entry: u64) -> None:
    """A write to a page that others may see. The last one who has it keeps it; others get a copy."""
    pfn = machine.paging.entry_pfn(entry)
    vma.note_copy()
    if entry & pages.MARKS == 0 and frame.refcount(pfn) == 1:
        _keep(space, va, entry, pfn)
        return
    fresh = buddy.allocate_page()
    executable = vma.flags & EXEC != 0
    copy = machine.paging.with_write(machine.paging.make_entry(fresh, True, executable, True))
    unused = fresh
    with space.table_lock:
        if space.page_table.get(va) == entry:
            frame.copy_contents(fresh, pfn)
            pages.show_other(space, va, copy)
            unused = _account_copy(space, entry, pfn, fresh)
    if unused != 0:
        frame.put_page(unused)


def _account_copy(space: AddressSpace, entry: u64, old: u64, fresh: u64) -> u64:
    """A private page took the place of what `entry` showed: the counts, and what fork wants to know; gives the frame
    that lost a reference, 0 if none."""
    if entry & pages.LENT != 0:
        space.gain_private()
        return u64(0)
    if entry & pages.FILE != 0:
        space.gain_private()
        space.lose_pages(u64(0), u64(1))
        return u64(0)
    frame.set_flags(fresh, COPIED)
    if not frame.test_flags(old, COPIED):
        frame.set_flags(old, COPIED)
    return old


def _keep(space: AddressSpace, va: u64, entry: u64, pfn: u64) -> None:
    """Reuse: under the lock, nobody can have forked or looked the page up since, if the count is still one."""
    with space.table_lock:
        if space.page_table.get(va) == entry and frame.refcount(pfn) == 1:
            space.page_table.set_entry(va, machine.paging.with_write(entry))
            machine.paging.flush_page(va)


# -- pages of files


def _from_file(space: AddressSpace, vma: Vma, va: u64, access: u32) -> u32:
    cache = shown_by(vma)
    assert cache is not None
    index = vma.index_of(va)
    if index >= cache.size_in_pages():
        return BEYOND_END
    if access & WRITING == 0:
        if _map_around(space, vma, cache, va):
            return RESOLVED
        pfn = cache.read(index)
        try:
            _map_around(space, vma, cache, va)
        finally:
            frame.put_page(pfn)
        return RESOLVED
    pfn = cache.read(index)
    try:
        if vma.flags & SHARED != 0:
            _map_shared(space, vma, va, pfn)
        else:
            _map_private_copy(space, vma, va, pfn)
    finally:
        frame.put_page(pfn)
    return RESOLVED


def _map_around(space: AddressSpace, vma: Vma, cache: PageCache, va: u64) -> bool:
    """Map the pages around va that are in the cache, where nothing is mapped yet; whether va's is among them. They are
    writable at once only where nobody needs to know of the first write."""
    window = va & ~u64(AROUND - 1)
    start = max(window, vma.start)
    end = min(window + AROUND, vma.end)
    first = vma.index_of(start)
    writable = vma.flags & (SHARED | WRITE) == SHARED | WRITE and not cache.backed
    executable = vma.flags & EXEC != 0
    frames = Array[u32, AROUND >> PAGE_SHIFT]()
    with space.table_lock:
        space.page_table.reserve(va)
        last = min(first + ((end - start) >> PAGE_SHIFT), cache.size_in_pages())
        cache.show_run(first, last, frames[:])
        fresh: u64 = 0
        at = start
        for pfn in frames:
            if pfn != 0 and space.page_table.get(at) == 0:
                space.page_table.set_entry(at, pages.make_file_entry(u64(pfn), writable, executable))
                fresh += 1
            at += PAGE_SIZE
        space.gain_pages(u64(0), fresh)
        return space.page_table.get(va) != 0


def _map_shared(space: AddressSpace, vma: Vma, va: u64, pfn: u64) -> None:
    """First touch of a shared page is a write."""
    cache = shown_by(vma)
    assert cache is not None
    entry = machine.paging.with_write(pages.make_file_entry(pfn, True, vma.flags & EXEC != 0))
    with space.table_lock:
        space.page_table.reserve(va)
        if space.page_table.get(va) == 0 and cache.show(pfn):
            _mark_dirty(cache, pfn)
            space.page_table.set_entry(va, entry)
            space.gain_cached()


def _map_private_copy(space: AddressSpace, vma: Vma, va: u64, pfn: u64) -> None:
    """First touch of a private page is a write: the file's page is never mapped."""
    fresh = buddy.allocate_page()
    frame.copy_contents(fresh, pfn)
    entry = machine.paging.with_write(machine.paging.make_entry(fresh, True, vma.flags & EXEC != 0, True))
    vma.note_copy()
    _install_private(space, vma, va, entry, fresh, pfn)


@noinline
def _lend(space: AddressSpace, vma: Vma, va: u64, access: u32) -> u32:
    """A frame of the kernel's, never writable."""
    if access & WRITING != 0:
        return NO_RIGHT
    pfn = vma.special + ((va - vma.start) >> PAGE_SHIFT)
    _install(space, va, pages.make_lent_entry(pfn, vma.flags & EXEC != 0))
    return RESOLVED


# -- the stack


@noinline
def _grow_stack(space: AddressSpace, va: u64) -> u32:
    """A touch below a stack: extend it, if its limit and the distance to what is below allow."""
    with space.lock.write():
        vma = space.areas.first_ending_above(va)
        if vma is None or vma.flags & GROWS_DOWN == 0:
            return NO_AREA
        if vma.start <= va:
            return RESOLVED
        number = (vma.start - va) >> PAGE_SHIFT
        if vma.end - va > limit(Resource.RLIMIT_STACK) or not space.may_grow(number, vma.flags):
            return NO_AREA
        if vma.flags & ACCOUNTED != 0 and not overcommit.may_commit(number):
            return NO_AREA
        before = space.areas.last_at_or_below(va)
        if before is not None and before.end + STACK_GAP > va and before.flags & RIGHTS != 0:
            return NO_AREA
        space.areas.move_start(vma, va)
        space.count(vma, number)
    return RESOLVED


def populate(space: AddressSpace, start: u64, end: u64) -> None:
    """Touch every page ahead of its use (MAP_POPULATE, mlock): as far as that goes; errors are for whoever touches
    it. SIGKILL ends it early."""
    task = machine.percpu.current()
    va = start
    while va < end and not signal.must_die(task):
        access: u32 = USER
        with space.lock.read():
            vma = space.areas.find(va)
            if vma is None:
                return
            if vma.flags & (WRITE | SHARED) == WRITE:
                access |= WRITING
            if vma.flags & RIGHTS == 0:
                return
        try:
            if resolve(space, va, access) != RESOLVED:
                return
        except (MemoryError, OSError):
            return
        va += PAGE_SIZE
