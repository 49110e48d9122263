# SPDX-License-Identifier: Apache-2.0
"""fork: a second address space with the same contents.

Areas are copied one by one. Page-table entries are copied only where a fault could not find the page again: in private
areas that may hold private pages. Those pages lose the right to be written in both, and the first write copies
(faults._copy_on_write). Pages of files, and of shared memory, come back by faults out of the page cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.arch import machine
from kaa.kernel.mm import buddy, frame, overcommit, pages, reclaim
from kaa.kernel.mm.frame import CACHED
from kaa.kernel.mm.vma import ACCOUNTED, ANONYMOUS_PAGES, LOCKED, NO_FORK, SHARED, SPECIAL, WIPE_ON_FORK, Vma
from kaa.lang import u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace


def fork(parent: AddressSpace) -> AddressSpace:
    """A copy. Raises MemoryError: the parent is as it was, but for some pages that will be found writable again."""
    from kaa.kernel.mm.address_space import AddressSpace as Space

    if buddy.is_low() and reclaim.may_reclaim():
        reclaim.free_some(u64(128))
    child = Space()
    with parent.lock.write():
        if overcommit.is_strict() and not overcommit.may_commit(parent.committed_pages):
            raise MemoryError
        _copy_layout(parent, child)
        try:
            for vma in parent.areas:
                if vma.flags & NO_FORK == 0:
                    _copy_area(parent, child, vma)
        finally:
            if parent.is_active():
                machine.paging.flush_all()
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
    child.membarrier_ready = parent.membarrier_ready
    child.doomed = parent.doomed


def _copy_area(parent: AddressSpace, child: AddressSpace, vma: Vma) -> None:
    """Locks on memory are not inherited (mlock(2)); wiped areas start empty."""
    if vma.flags & ACCOUNTED != 0 and not overcommit.may_commit(vma.pages()):
        raise MemoryError
    twin = vma.part(vma.start, vma.end)
    twin.flags = vma.flags & ~LOCKED
    if vma.flags & WIPE_ON_FORK != 0:
        twin.flags = twin.flags & ~ANONYMOUS_PAGES
    child.link(twin)
    if twin.flags & ANONYMOUS_PAGES != 0 and vma.flags & (SHARED | SPECIAL) == 0:
        _copy_entries(parent, child, vma)


def _copy_entries(parent: AddressSpace, child: AddressSpace, vma: Vma) -> None:
    """The child's table has no other user yet: the parent's lock is enough. It is given up at times, so that a large
    area does not keep preemption off. Should memory run out, what was copied is counted, and the child's end undoes
    it."""
    anonymous: u64 = 0
    cached: u64 = 0
    start = vma.start
    try:
        while start < vma.end:
            stop = min(vma.end, (start | (STRETCH - 1)) + 1)
            with parent.table_lock:
                for entry in parent.page_table.copy_range(child.page_table, start, stop, False):
                    pfn = machine.paging.entry_pfn(entry)
                    if pages.is_counted(pfn):
                        frame.get_page(pfn)
                        if frame.test_flags(pfn, CACHED):
                            cached += 1
                        else:
                            anonymous += 1
            start = stop
    finally:
        child.anonymous_pages += anonymous
        child.file_pages += cached


STRETCH = 0x1000_0000
"""Bytes of address space per hold of the lock."""

