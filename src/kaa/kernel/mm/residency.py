# SPDX-License-Identifier: Apache-2.0
"""What is in memory, what must stay, and what goes back to files: mincore(2), mlock(2) and its kin, msync(2).

Nothing is ever swapped, so a locked page is one that was brought in: locking touches pages and counts them.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.mman import Mlock, Mlockall, Msync
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm import faults, frame, mapping, unmapping
from kaa.kernel.mm.frame import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from kaa.kernel.mm.page_cache import PageCache
from kaa.kernel.mm.user import UserBuf
from kaa.kernel.mm.vma import LOCKED, SHARED, SPECIAL, Vma
from kaa.lang import Array, i32, noinline, u8, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.mm.address_space import AddressSpace

USER_END: Final = machine.paging.USER_END
STRETCH: Final = 128
"""Pages that mincore answers for at a time."""


def _space() -> AddressSpace:
    space = machine.percpu.current().mm
    assert space is not None
    return space


# -- mincore


@syscall(x86_64=27, arm64=232)
def mincore(address: u64, length: u64, vec: u64) -> None:
    """mincore(2): which pages of a range are in memory, one byte each."""
    if address & (PAGE_SIZE - 1) != 0:
        raise OSError(errno.EINVAL)
    if address > USER_END or length > USER_END - address:
        raise MemoryError
    space = _space()
    number = (length + PAGE_SIZE - 1) >> PAGE_SHIFT
    out = UserBuf(vec, number)
    answers = Array[u8, STRETCH]()
    done: u64 = 0
    while done < number:
        step = min(number - done, u64(STRETCH))
        with space.lock.read():
            for index in range(step):
                answers[index] = _is_resident(space, address + ((done + index) << PAGE_SHIFT))
        out.copy_out(answers[0:step])
        done += step


def _is_resident(space: AddressSpace, va: u64) -> u8:
    """Raises MemoryError where nothing is mapped."""
    vma = space.areas.find(va)
    if vma is None:
        raise MemoryError
    with space.table_lock:
        entry = space.page_table.get(va)
    if entry != 0:
        return u8(1)
    cache = vma.cache
    if cache is not None:
        pfn = cache.lookup(vma.index_of(va))
        if pfn != 0:
            frame.put_page(pfn)
            return u8(1)
    return u8(0)


# -- mlock


def _lock_range(space: AddressSpace, address: u64, length: u64, flag: u32) -> None:
    """Set or clear (flag 0) LOCKED. Raises OSError(EINVAL, EPERM), MemoryError (not all mapped, or beyond the
    limit)."""
    start = address & PAGE_MASK
    if length > USER_END or start > USER_END - length:
        raise OSError(errno.EINVAL if length > USER_END else errno.ENOMEM)
    end = (address + length + PAGE_SIZE - 1) & PAGE_MASK
    with space.lock.write():
        if flag != 0:
            room = mapping.lockable_pages()
            if room == 0:
                raise OSError(errno.EPERM)
            if space.locked_pages + ((end - start) >> PAGE_SHIFT) - _locked_in(space, start, end) > room:
                raise MemoryError
        _mark_locked(space, start, end, flag)


def _locked_in(space: AddressSpace, start: u64, end: u64) -> u64:
    """Pages of [start, end) that are locked already."""
    total: u64 = 0
    for vma in space.areas.between(start, end):
        if vma.flags & LOCKED != 0:
            total += (min(vma.end, end) - max(vma.start, start)) >> PAGE_SHIFT
    return total


def _mark_locked(space: AddressSpace, start: u64, end: u64, flag: u32) -> None:
    at = start
    while at < end:
        vma = space.areas.find(at)
        if vma is None:
            raise MemoryError
        stop = min(vma.end, end)
        if vma.flags & SPECIAL == 0 and vma.flags & LOCKED != flag:
            _mark_area(space, at, stop, flag)
        at = stop


def _mark_area(space: AddressSpace, start: u64, end: u64, flag: u32) -> None:
    unmapping.split(space, start)
    unmapping.split(space, end)
    part = space.areas.find(start)
    assert part is not None
    space.uncount(part, part.pages())
    part.flags = (part.flags & ~u32(LOCKED)) | flag
    space.count(part, part.pages())
    unmapping.merge_at(space, end)
    unmapping.merge_at(space, start)


@syscall(x86_64=149, arm64=228)
def mlock(address: u64, length: u64) -> None:
    """mlock(2): bring pages in and keep them."""
    mlock2(address, length, u64(0))


@syscall(x86_64=325, arm64=284)
def mlock2(address: u64, length: u64, flags: u64) -> None:
    """mlock2(2): as mlock; with MLOCK_ONFAULT only keep them once they are in."""
    if flags & ~u64(Mlock.ONFAULT) != 0:
        raise OSError(errno.EINVAL)
    space = _space()
    if length == 0:
        return
    _lock_range(space, address, length, u32(LOCKED))
    if flags & Mlock.ONFAULT == 0:
        faults.populate(space, address & PAGE_MASK, (address + length + PAGE_SIZE - 1) & PAGE_MASK)


@syscall(x86_64=150, arm64=229)
def munlock(address: u64, length: u64) -> None:
    """munlock(2): the pages need not be kept."""
    if length != 0:
        _lock_range(_space(), address, length, u32(0))


@syscall(x86_64=151, arm64=230)
def mlockall(flags: u64) -> None:
    """mlockall(2): everything mapped now, or from now on."""
    known = Mlockall.CURRENT | Mlockall.FUTURE | Mlockall.ONFAULT
    if flags & ~u64(known) != 0 or flags == 0 or flags == Mlockall.ONFAULT:
        raise OSError(errno.EINVAL)
    space = _space()
    room = mapping.lockable_pages()
    if room == 0:
        raise OSError(errno.EPERM)
    with space.lock.write():
        if flags & Mlockall.CURRENT != 0 and space.total_pages > room:
            raise MemoryError
        space.future_flags = LOCKED if flags & Mlockall.FUTURE != 0 else 0
        if flags & Mlockall.CURRENT != 0:
            _mark_all(space, u32(LOCKED))
    if flags & (Mlockall.CURRENT | Mlockall.ONFAULT) == Mlockall.CURRENT:
        _populate_all(space)


def _populate_all(space: AddressSpace) -> None:
    """Bring everything in that is mapped, area by area: each may be gone when its turn comes."""
    at: u64 = 0
    while True:
        with space.lock.read():
            vma = space.areas.first_ending_above(at)
            if vma is None:
                return
            start = vma.start
            at = vma.end
        faults.populate(space, start, at)


def _mark_all(space: AddressSpace, flag: u32) -> None:
    for vma in space.areas:
        if vma.flags & SPECIAL == 0 and vma.flags & LOCKED != flag:
            space.uncount(vma, vma.pages())
            vma.flags = (vma.flags & ~u32(LOCKED)) | flag
            space.count(vma, vma.pages())


@syscall(x86_64=152, arm64=231)
def munlockall() -> None:
    """munlockall(2): nothing needs to be kept."""
    space = _space()
    with space.lock.write():
        space.future_flags = 0
        _mark_all(space, u32(0))


# -- msync


@syscall(x86_64=26, arm64=227)
def msync(address: u64, length: u64, flags: i32) -> None:
    """msync(2): write what was stored through shared mappings back to their files."""
    wanted = u64(flags)
    if wanted & ~u64(Msync.ASYNC | Msync.INVALIDATE | Msync.SYNC) != 0 or address & (PAGE_SIZE - 1) != 0:
        raise OSError(errno.EINVAL)
    if wanted & (Msync.ASYNC | Msync.SYNC) == Msync.ASYNC | Msync.SYNC:
        raise OSError(errno.EINVAL)
    if address > USER_END or length > USER_END - address:
        raise MemoryError
    end = (address + length + PAGE_SIZE - 1) & PAGE_MASK
    _sync_range(_space(), address, end, wanted)


def _sync_range(space: AddressSpace, start: u64, end: u64, flags: u64) -> None:
    """Holes are told at the end, when everything else is written."""
    missing = False
    at = start
    while at < end:
        cache: PageCache | None = None
        file: File | None = None
        first: u64 = 0
        last: u64 = 0
        stop = end
        with space.lock.read():
            vma = space.areas.first_ending_above(at)
            if vma is None or vma.start >= end:
                missing = True
                break
            missing = missing or vma.start > at
            at = max(at, vma.start)
            stop = min(vma.end, end)
            if vma.flags & LOCKED != 0 and flags & Msync.INVALIDATE != 0:
                raise OSError(errno.EBUSY)
            if vma.flags & SHARED != 0 and flags & Msync.SYNC != 0:
                cache = vma.cache
                first = vma.index_of(at)
                last = first + ((stop - at) >> PAGE_SHIFT)
                # The file keeps the inode, and so the cache's owner, while we write without the lock.
                file = vma.file
        if cache is not None:
            cache.write_back(first, last)
            _release(file)
        at = stop
    if missing:
        raise MemoryError


@noinline
def _release(file: File | None) -> None:
    """The file was needed up to here: a local that is not used any more keeps nothing alive."""


def is_plain(vma: Vma) -> bool:
    """Whether the area is neither shared nor the kernel's."""
    return vma.flags & (SHARED | SPECIAL) == 0
