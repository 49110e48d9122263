# SPDX-License-Identifier: Apache-2.0
"""madvise(2): what a program says of its memory, and process_madvise(2) on oneself.

Advice about huge pages, merging and reclaim is accepted and has no effect where Linux without those features accepts
it; otherwise it is EINVAL, as there. MADV_FREE frees at once, which its contract allows.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel import signal
from kaa.kernel.abi.mman import Madvise
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm import faults, pages, unmapping
from kaa.kernel.mm.frame import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from kaa.kernel.mm.vma import (
    LOCKED,
    NO_DUMP,
    NO_FORK,
    RANDOM,
    RIGHTS,
    SEQUENTIAL,
    SHARED,
    SPECIAL,
    WIPE_ON_FORK,
    WRITE,
    Vma,
)
from kaa.lang import i32, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace

ORDINARY: Final = (
    Madvise.NORMAL, Madvise.RANDOM, Madvise.SEQUENTIAL, Madvise.WILLNEED, Madvise.DONTNEED, Madvise.FREE,
    Madvise.REMOVE, Madvise.DONTFORK, Madvise.DOFORK, Madvise.DONTDUMP, Madvise.DODUMP, Madvise.WIPEONFORK,
    Madvise.KEEPONFORK, Madvise.COLD, Madvise.PAGEOUT, Madvise.POPULATE_READ, Madvise.POPULATE_WRITE,
    Madvise.HUGEPAGE, Madvise.NOHUGEPAGE,
)  # fmt: skip


HIGHEST: Final = 0xFFFF_FFFF_FFFF_F000
PUNCH_HOLE: Final = 3
"""FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE (fallocate(2))."""


def advise(space: AddressSpace, address: u64, length: u64, advice: u64) -> None:
    """madvise(2). Raises OSError(EINVAL), MemoryError where nothing is mapped (the rest is done nevertheless)."""
    if not _is_known(advice) or address & (PAGE_SIZE - 1) != 0 or address > HIGHEST or length > HIGHEST - address:
        raise OSError(errno.EINVAL)
    size = (length + (PAGE_SIZE - 1)) & PAGE_MASK
    if size == 0:
        return
    if address > machine.paging.USER_END or size > machine.paging.USER_END - address:
        raise MemoryError
    if advice == Madvise.REMOVE:
        _remove(space, address, address + size)
    elif advice == Madvise.POPULATE_READ or advice == Madvise.POPULATE_WRITE:
        _populate(space, address, address + size, advice)
    elif _set_flags(advice) | _clear_flags(advice) != 0:
        with space.lock.write():
            _change_flags(space, address, address + size, advice)
    else:
        with space.lock.read():
            _act(space, address, address + size, advice)


def _is_known(advice: u64) -> bool:
    for known in ORDINARY:
        if advice == u64(known):
            return True
    return False


def _set_flags(advice: u64) -> u32:
    match advice:
        case Madvise.DONTFORK:
            return NO_FORK
        case Madvise.DONTDUMP:
            return NO_DUMP
        case Madvise.WIPEONFORK:
            return WIPE_ON_FORK
        case Madvise.RANDOM:
            return RANDOM
        case Madvise.SEQUENTIAL:
            return SEQUENTIAL
        case _:
            return u32(0)


def _clear_flags(advice: u64) -> u32:
    match advice:
        case Madvise.DOFORK:
            return NO_FORK
        case Madvise.DODUMP:
            return NO_DUMP
        case Madvise.KEEPONFORK:
            return WIPE_ON_FORK
        case Madvise.NORMAL | Madvise.RANDOM | Madvise.SEQUENTIAL:
            return RANDOM | SEQUENTIAL
        case _:
            return u32(0)


def _change_flags(space: AddressSpace, start: u64, end: u64, advice: u64) -> None:
    """Flags of whole areas, split at the borders."""
    missing = False
    at = start
    while at < end:
        vma = space.areas.first_ending_above(at)
        if vma is None or vma.start >= end:
            missing = True
            break
        if vma.start > at:
            missing = True
            at = vma.start
        stop = min(vma.end, end)
        _change_area(space, vma, at, stop, advice)
        at = stop
    if missing:
        raise MemoryError


def _change_area(space: AddressSpace, vma: Vma, start: u64, end: u64, advice: u64) -> None:
    if advice == Madvise.WIPEONFORK and (vma.cache is not None or vma.flags & SHARED != 0):
        raise OSError(errno.EINVAL)
    if vma.flags & SPECIAL != 0:
        raise OSError(errno.EINVAL)
    fresh = (vma.flags & ~_clear_flags(advice)) | _set_flags(advice)
    if fresh == vma.flags:
        return
    unmapping.split(space, start)
    unmapping.split(space, end)
    part = space.areas.find(start)
    assert part is not None
    part.flags = fresh
    unmapping.merge_at(space, end)
    unmapping.merge_at(space, start)


def _act(space: AddressSpace, start: u64, end: u64, advice: u64) -> None:
    """Advice about pages. Under `lock`, reading: the areas stay, their pages may go."""
    reached = start
    missing = False
    for vma in space.areas.between(start, end):
        if vma.start > reached:
            missing = True
        first = max(vma.start, start)
        reached = min(vma.end, end)
        _act_on(space, vma, first, reached, advice)
    if missing or reached < end:
        raise MemoryError


def _act_on(space: AddressSpace, vma: Vma, start: u64, end: u64, advice: u64) -> None:
    match advice:
        case Madvise.DONTNEED:
            if vma.flags & (LOCKED | SPECIAL) != 0:
                raise OSError(errno.EINVAL)
            pages.unmap(space, start, end)
        case Madvise.FREE:
            if vma.cache is not None or vma.flags & (LOCKED | SPECIAL) != 0:
                raise OSError(errno.EINVAL)
            pages.unmap(space, start, end)
        case _:
            pass


def _remove(space: AddressSpace, start: u64, end: u64) -> None:
    """Punch a hole into shared memory or a file. The address space is not locked meanwhile: a file's own lock comes
    first. Raises MemoryError where nothing is mapped, the rest being done."""
    missing = False
    at = start
    while at < end:
        with space.lock.read():
            vma = space.areas.first_ending_above(at)
            if vma is None or vma.start >= end:
                missing = True
                break
            missing = missing or vma.start > at
            at = max(at, vma.start)
            stop = min(vma.end, end)
            cache = vma.cache
            if vma.flags & LOCKED != 0 or cache is None:
                raise OSError(errno.EINVAL)
            if vma.flags & (SHARED | WRITE) != SHARED | WRITE:
                raise OSError(errno.EACCES)
            first = vma.index_of(at)
            file = vma.file
        if file is not None:
            file.fallocate(u32(PUNCH_HOLE), first << PAGE_SHIFT, stop - at)
        else:
            cache.punch(first, first + ((stop - at) >> PAGE_SHIFT))
        at = stop
    if missing:
        raise MemoryError


def _populate(space: AddressSpace, start: u64, end: u64, advice: u64) -> None:
    """Raises OSError(EFAULT) where a page cannot be had, OSError(EINVAL) where the area forbids it."""
    access: u32 = u32(faults.USER)
    if advice == Madvise.POPULATE_WRITE:
        access |= faults.WRITING
    va = start
    while va < end:
        result = faults.resolve(space, va, access)
        if result == faults.NO_AREA:
            raise MemoryError
        if result == faults.NO_RIGHT:
            raise OSError(errno.EINVAL)
        if result != faults.RESOLVED:
            raise OSError(errno.EFAULT)
        va += PAGE_SIZE
        if signal.must_die(machine.percpu.current()):
            raise OSError(errno.EINTR)


@syscall(x86_64=28, arm64=233)
def madvise(address: u64, length: u64, advice: i32) -> None:
    """madvise(2): tell how a range of memory will be used."""
    space = machine.percpu.current().mm
    assert space is not None
    advise(space, address, length, u64(advice))


def may_read(vma: Vma) -> bool:
    """Whether any access to the area is allowed."""
    return vma.flags & RIGHTS != 0
