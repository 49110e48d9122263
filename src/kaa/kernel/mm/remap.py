# SPDX-License-Identifier: Apache-2.0
"""Areas that move or change size: mremap(2). Pages move by their page-table entries; nothing is copied."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.mman import Mremap
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm import faults, file_mappings, mapping, overcommit, pages, unmapping
from kaa.kernel.mm.frame import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from kaa.kernel.mm.vma import ACCOUNTED, LOCKED, SHARED, SPECIAL, Vma
from kaa.lang import u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace

USER_END: Final = machine.paging.USER_END
MAX_OFFSET: Final = 1 << 63
KNOWN: Final = Mremap.MAYMOVE | Mremap.FIXED | Mremap.DONTUNMAP


def remap(space: AddressSpace, old: u64, old_length: u64, new_length: u64, flags: u64, new: u64) -> u64:
    """mremap(2). Gives the new address. Raises OSError(EINVAL, EFAULT, EAGAIN), MemoryError."""
    if flags & Mremap.FIXED == 0:
        new = u64(0)
    _check_arguments(old, old_length, new_length, flags, new)
    old_size = (old_length + PAGE_SIZE - 1) & PAGE_MASK
    new_size = (new_length + PAGE_SIZE - 1) & PAGE_MASK
    with space.lock.write():
        _check_area(space, old, old_size, new_size, flags)
        if flags & Mremap.FIXED != 0:
            unmapping.unmap_locked(space, new, new + new_size)
        result = _remap_locked(space, old, old_size, new_size, flags, new)
        locked = _is_locked(space, result)
    if locked and new_size > old_size:
        faults.populate(space, result + old_size, result + new_size)
    return result


def _check_arguments(old: u64, old_length: u64, new_length: u64, flags: u64, new: u64) -> None:
    """Whatever these let pass, sums of the four numbers stay below 2^64. (`new` is 0 where it does not count.)"""
    fixed = flags & Mremap.FIXED != 0
    if flags & ~u64(KNOWN) != 0 or old & (PAGE_SIZE - 1) != 0 or new_length == 0:
        raise OSError(errno.EINVAL)
    if flags & (Mremap.FIXED | Mremap.DONTUNMAP) != 0 and flags & Mremap.MAYMOVE == 0:
        raise OSError(errno.EINVAL)
    if flags & Mremap.DONTUNMAP != 0 and old_length != new_length:
        raise OSError(errno.EINVAL)
    if new & (PAGE_SIZE - 1) != 0 or new > USER_END or (fixed and new_length > USER_END - new):
        raise OSError(errno.EINVAL)
    if old > USER_END or old_length > USER_END - old:
        raise OSError(errno.EFAULT)
    if new_length > USER_END:
        raise MemoryError
    if fixed and new < mapping.LOWEST:
        raise OSError(errno.EPERM)
    if fixed and new < old + old_length and old < new + new_length:
        raise OSError(errno.EINVAL)


def _check_area(space: AddressSpace, old: u64, old_size: u64, new_size: u64, flags: u64) -> None:
    """What can be refused by looking at the area alone, before anything is unmapped."""
    vma = space.areas.find(old)
    if vma is None:
        raise OSError(errno.EFAULT)
    if old_size == 0 and (vma.flags & SHARED == 0 or flags & Mremap.MAYMOVE == 0):
        # A second view of shared memory (an old idiom); of private memory it would be none.
        raise OSError(errno.EINVAL)
    if new_size >= old_size and (vma.end < old + old_size or vma.flags & SPECIAL != 0 and new_size != old_size):
        raise OSError(errno.EFAULT)
    if vma.file is not None and vma.offset + (old - vma.start) > MAX_OFFSET - new_size:
        raise OSError(errno.EINVAL)
    if flags & Mremap.MAYMOVE != 0 and len(space.areas) + 2 > mapping.MAX_AREAS:
        raise MemoryError


def _is_locked(space: AddressSpace, address: u64) -> bool:
    vma = space.areas.find(address)
    return vma is not None and vma.flags & LOCKED != 0


def _remap_locked(space: AddressSpace, old: u64, old_size: u64, new_size: u64, flags: u64, new: u64) -> u64:
    vma = space.areas.find(old)
    if vma is None:
        raise OSError(errno.EFAULT)
    moving = flags & (Mremap.FIXED | Mremap.DONTUNMAP) != 0
    if old_size == 0:
        target = new if flags & Mremap.FIXED != 0 else mapping.choose(space, new_size)
        return _duplicate(space, vma, old, new_size, target)
    if new_size < old_size:
        unmapping.unmap_locked(space, old + new_size, old + old_size)
        old_size = new_size
        vma = space.areas.find(old)
        if vma is None:
            raise OSError(errno.EFAULT)
    if new_size == old_size and not moving:
        return old
    _check_growth(space, vma, new_size - old_size if flags & Mremap.DONTUNMAP == 0 else new_size)
    if not moving and vma.end == old + old_size and _may_extend(space, vma, new_size - old_size):
        space.count(vma, (new_size - old_size) >> PAGE_SHIFT)
        file_mappings.set_end(vma, old + new_size)
        return old
    if flags & Mremap.MAYMOVE == 0:
        raise MemoryError
    target = new if flags & Mremap.FIXED != 0 else _target(space, new, new_size)
    return _move(space, vma, old, old_size, target, new_size, flags)


def _target(space: AddressSpace, hint: u64, size: u64) -> u64:
    if hint >= mapping.LOWEST and hint & (PAGE_SIZE - 1) == 0 and hint <= USER_END - size:
        if mapping.is_free(space, hint, size):
            return hint
    return mapping.choose(space, size)


def _check_growth(space: AddressSpace, vma: Vma, growth: u64) -> None:
    number = growth >> PAGE_SHIFT
    if number == 0:
        return
    if vma.flags & LOCKED != 0 and space.locked_pages + number > mapping.lockable_pages():
        raise OSError(errno.EAGAIN)
    if not space.may_grow(number, vma.flags):
        raise MemoryError
    if vma.flags & ACCOUNTED != 0 and not overcommit.may_commit(number):
        raise MemoryError


def _may_extend(space: AddressSpace, vma: Vma, growth: u64) -> bool:
    return vma.end + growth <= USER_END and mapping.is_free(space, vma.end, growth)


def _duplicate(space: AddressSpace, vma: Vma, old: u64, size: u64, target: u64) -> u64:
    _check_growth(space, vma, size)
    twin = Vma(target, target + size, vma.flags, vma.file, vma.offset + (old - vma.start))
    twin.show_same(vma)
    space.link(twin)
    return target


def _move(space: AddressSpace, vma: Vma, old: u64, old_size: u64, target: u64, new_size: u64, flags: u64) -> u64:
    """The new area comes first: if that or a page table fails, it goes again and nothing has changed."""
    twin = vma.part(old, old + old_size)
    twin.start = target
    twin.end = target + new_size
    space.link(twin)
    try:
        _move_pages(space, twin, old, target, old_size)
    except MemoryError:
        space.unlink(twin)
        raise
    try:
        if flags & Mremap.DONTUNMAP == 0:
            unmapping.unmap_locked(space, old, old + old_size)
    except MemoryError:
        # The tables they came from are still there: this way back needs no memory.
        _move_pages(space, twin, target, old, old_size)
        space.unlink(twin)
        raise
    return target


def _move_pages(space: AddressSpace, vma: Vma, source: u64, target: u64, size: u64) -> None:
    """Who looks for all entries of a file's page must not look while they are on the way."""
    cache = vma.cache
    if cache is None:
        pages.move(space, source, target, size)
        return
    with cache.areas_lock:
        pages.move(space, source, target, size)


@syscall(x86_64=25, arm64=216)
def mremap(old: u64, old_length: u64, new_length: u64, flags: u64, new: u64) -> u64:
    """mremap(2): make a mapping larger or smaller, moving it if allowed."""
    space = machine.percpu.current().mm
    assert space is not None
    return remap(space, old, old_length, new_length, flags, new)
