# SPDX-License-Identifier: Apache-2.0
"""The heap's end: brk(2). Between `start_break` and `program_break` lies an anonymous area like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.abi.resource import Resource
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm import faults, mapping, unmapping
from kaa.kernel.mm.frame import PAGE_MASK, PAGE_SIZE
from kaa.kernel.mm.vma import LOCKED
from kaa.kernel.process.limits import limit
from kaa.lang import u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace


def move(space: AddressSpace, wanted: u64) -> u64:
    """Move the break; gives where it is now, which is where it was when that is impossible."""
    with space.lock.write():
        if wanted < space.start_break or wanted > machine.paging.USER_END - PAGE_SIZE:
            return space.program_break
        old_end = (space.program_break + PAGE_SIZE - 1) & PAGE_MASK
        new_end = (wanted + PAGE_SIZE - 1) & PAGE_MASK
        try:
            if new_end < old_end:
                unmapping.unmap_locked(space, new_end, old_end)
            elif new_end > old_end and not _grow(space, old_end, new_end):
                return space.program_break
        except (MemoryError, OSError):
            return space.program_break
        space.program_break = wanted
        locked = space.future_flags & LOCKED != 0
    if locked and new_end > old_end:
        faults.populate(space, old_end, new_end)
    return wanted


def _grow(space: AddressSpace, start: u64, end: u64) -> bool:
    """Add [start, end) to the heap unless something is in the way or a limit is reached. Raises MemoryError."""
    if end - space.start_break > limit(Resource.RLIMIT_DATA):
        return False
    if not mapping.is_free(space, start, end - start + PAGE_SIZE):
        return False
    mapping.insert_heap(space, start, end - start)
    return True


@syscall(x86_64=12, arm64=214)
def brk(address: u64) -> u64:
    """brk(2): set the end of the heap; gives the end, new or (if it cannot be set) old."""
    space = machine.percpu.current().mm
    assert space is not None
    return space.brk(address)
