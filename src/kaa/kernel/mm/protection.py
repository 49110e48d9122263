# SPDX-License-Identifier: Apache-2.0
"""Rights that change: mprotect(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.mman import Prot
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm import mapping, overcommit, pages, unmapping
from kaa.kernel.mm.frame import PAGE_MASK, PAGE_SIZE
from kaa.kernel.mm.vma import ACCOUNTED, EXEC, GROWS_DOWN, RIGHTS, SHARED, SPECIAL, WRITE, Vma
from kaa.lang import i32, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace

KNOWN: Final = Prot.READ | Prot.WRITE | Prot.EXEC | Prot.SEM | Prot.GROWSDOWN | Prot.GROWSUP


def protect(space: AddressSpace, address: u64, length: u64, prot: u64) -> None:
    """mprotect(2). Raises OSError(EINVAL, EACCES), MemoryError (a part of the range is not mapped; areas before the
    hole have the new rights then, as on Linux)."""
    if prot & ~u64(KNOWN) != 0 or prot & (Prot.GROWSDOWN | Prot.GROWSUP) == Prot.GROWSDOWN | Prot.GROWSUP:
        raise OSError(errno.EINVAL)
    if address & (PAGE_SIZE - 1) != 0:
        raise OSError(errno.EINVAL)
    if length == 0:
        return
    if address > machine.paging.USER_END or length > machine.paging.USER_END - address:
        raise MemoryError
    end = (address + length + PAGE_SIZE - 1) & PAGE_MASK
    with space.lock.write():
        _protect_locked(space, _real_start(space, address, prot), end, u32(prot & RIGHTS))


def _real_start(space: AddressSpace, address: u64, prot: u64) -> u64:
    """PROT_GROWSDOWN: the change reaches down to the start of the stack."""
    if prot & Prot.GROWSUP != 0:
        raise OSError(errno.EINVAL)
    if prot & Prot.GROWSDOWN == 0:
        return address
    vma = space.areas.first_ending_above(address)
    if vma is None:
        raise MemoryError
    if vma.flags & GROWS_DOWN == 0:
        raise OSError(errno.EINVAL)
    return min(address, vma.start)


def _protect_locked(space: AddressSpace, start: u64, end: u64, rights: u32) -> None:
    at = start
    while at < end:
        vma = space.areas.find(at)
        if vma is None:
            raise MemoryError
        stop = min(vma.end, end)
        if vma.flags & RIGHTS != rights:
            _protect_area(space, at, stop, rights)
        at = stop


def _protect_area(space: AddressSpace, start: u64, end: u64, rights: u32) -> None:
    """[start, end) lies within one area."""
    vma = space.areas.find(start)
    assert vma is not None
    _check(space, vma, rights, (end - start) >> 12)
    unmapping.split(space, start)
    unmapping.split(space, end)
    part = space.areas.find(start)
    assert part is not None
    space.uncount(part, part.pages())
    flags = (part.flags & ~u32(RIGHTS)) | rights
    if mapping.is_accountable(flags) and flags & SPECIAL == 0:
        flags |= ACCOUNTED
    part.flags = flags
    space.count(part, part.pages())
    pages.protect(space, start, end, rights != 0, rights & EXEC != 0)
    unmapping.merge_at(space, end)
    unmapping.merge_at(space, start)


def _check(space: AddressSpace, vma: Vma, rights: u32, number: u64) -> None:
    """Raises OSError(EACCES) for what the mapping never allows, MemoryError for what may not be promised."""
    if vma.flags & SPECIAL != 0 and rights & Prot.WRITE != 0:
        raise OSError(errno.EACCES)
    if not vma.may(rights):
        raise OSError(errno.EACCES)
    fresh = (vma.flags & ~u32(RIGHTS)) | rights
    if mapping.is_accountable(fresh) and vma.flags & ACCOUNTED == 0:
        grows = vma.flags & (WRITE | SHARED | GROWS_DOWN) != WRITE
        if not overcommit.may_commit(number) or grows and not space.may_have_data(number, fresh):
            raise MemoryError


@syscall(x86_64=10, arm64=226)
def mprotect(address: u64, length: u64, prot: u64) -> None:
    """mprotect(2): set what may be done with pages."""
    space = machine.percpu.current().mm
    assert space is not None
    protect(space, address, length, prot)


@syscall(x86_64=329, arm64=288)
def pkey_mprotect(address: u64, length: u64, prot: u64, key: i32) -> None:
    """pkey_mprotect(2): with key -1, mprotect; there are no other keys here."""
    if key != -1:
        raise OSError(errno.EINVAL)
    mprotect(address, length, prot)


@syscall(x86_64=330, arm64=289)
def pkey_alloc(flags: u64, rights: u64) -> i32:
    """pkey_alloc(2): the processor's protection keys are not used."""
    raise OSError(errno.EINVAL if flags != 0 or rights & ~u64(3) != 0 else errno.ENOSPC)


@syscall(x86_64=331, arm64=290)
def pkey_free(key: i32) -> None:
    """pkey_free(2): no key was ever given."""
    raise OSError(errno.EINVAL)
