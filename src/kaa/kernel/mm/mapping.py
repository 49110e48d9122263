# SPDX-License-Identifier: Apache-2.0
"""New areas: mmap(2), and what execve and shmat need of it.

Nothing is changed before everything that can be refused is: an area that is replaced (MAP_FIXED) goes only once the
new one is certain to fit the limits. Addresses are chosen from `map_top` downwards, the highest gap first.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import O_ACCMODE, O_PATH, O_RDONLY, O_RDWR, O_WRONLY
from kaa.kernel.abi.mman import MapFlag, Prot
from kaa.kernel.abi.resource import Resource
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm import faults, frame, overcommit, unmapping
from kaa.kernel.mm.frame import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from kaa.kernel.mm.page_cache import PageCache
from kaa.kernel.mm.vma import (
    ACCOUNTED,
    FOR_STACK,
    GROWS_DOWN,
    LOCKED,
    MAY_EXEC,
    MAY_READ,
    MAY_WRITE,
    NO_RESERVE,
    RIGHTS,
    SHARED,
    SPECIAL,
    WRITE,
    Vma,
)
from kaa.kernel.process.credentials import Capability, capable
from kaa.kernel.process.limits import limit
from kaa.lang import cold, struct, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.mm.address_space import AddressSpace

USER_END: Final = machine.paging.USER_END
LOWEST: Final = 0x1_0000
MAX_AREAS: Final = 65530
STACK_GAP: Final = 0x10_0000
"""Nothing is mapped closer than this below a stack that grows down (256 pages, as Linux's stack_guard_gap)."""
BIT32_END: Final = 0x8000_0000
BIT32_START: Final = 0x4000_0000
KNOWN: Final = 0x13_FFFF | MapFlag.UNINITIALIZED
"""Flags that MAP_SHARED_VALIDATE may see without EOPNOTSUPP: all but huge pages and MAP_SYNC."""


def map_memory(
    space: AddressSpace, address: u64, length: u64, prot: u64, flags: u64, file: File | None, offset: u64
) -> u64:
    """mmap(2), after the descriptor was looked up. Raises OSError, MemoryError."""
    if length == 0 or offset & (PAGE_SIZE - 1) != 0:
        raise OSError(errno.EINVAL)
    if length > USER_END:
        raise MemoryError
    size = (length + PAGE_SIZE - 1) & PAGE_MASK
    if offset > (1 << 63) - size:
        raise OSError(errno.EOVERFLOW)
    vm_flags = _area_flags(prot, flags, file)
    with space.lock.write():
        vm_flags |= space.future_flags
        start = _place(space, address, size, flags)
        _check_limits(space, start, size, vm_flags, flags)
        if file is None:
            _map_anonymous(space, start, size, vm_flags, flags)
        else:
            vma = _file_area(start, size, vm_flags, file, offset)
            _clear_place(space, start, size, flags)
            space.link(vma)
    if flags & (MapFlag.POPULATE | MapFlag.NONBLOCK) == MapFlag.POPULATE or vm_flags & LOCKED != 0:
        faults.populate(space, start, start + size)
    return start


# -- what is asked for


def _area_flags(prot: u64, flags: u64, file: File | None) -> u32:
    """Rights, and flags that mmap's flags translate to. Raises OSError(EINVAL, EACCES, EPERM, EOPNOTSUPP, ENODEV)."""
    kind = flags & MapFlag.TYPE
    if flags & MapFlag.HUGETLB != 0:
        raise OSError(errno.ENOMEM if file is None else errno.EINVAL)
    if kind == MapFlag.SHARED_VALIDATE and file is None:
        raise OSError(errno.EINVAL)
    if kind == MapFlag.SHARED_VALIDATE and flags & ~u64(KNOWN) != 0:
        raise OSError(errno.EOPNOTSUPP)
    if kind not in (MapFlag.SHARED, MapFlag.PRIVATE, MapFlag.SHARED_VALIDATE):
        raise OSError(errno.EINVAL)
    result: u32 = u32(prot & RIGHTS) | MAY_READ | MAY_WRITE | MAY_EXEC
    if kind != MapFlag.PRIVATE:
        result |= SHARED
    if flags & MapFlag.LOCKED != 0:
        result |= LOCKED
    if flags & MapFlag.NORESERVE != 0:
        result |= NO_RESERVE
    if flags & MapFlag.STACK != 0:
        result |= FOR_STACK
    if file is not None:
        return _file_rights(result, file)
    if flags & MapFlag.GROWSDOWN != 0:
        if result & SHARED != 0:
            raise OSError(errno.EINVAL)
        result |= GROWS_DOWN
    return result


def _file_rights(flags: u32, file: File) -> u32:
    """What the way the file was opened allows (mmap(2), EACCES)."""
    mode = file.flags & O_ACCMODE
    if file.flags & O_PATH != 0:
        raise OSError(errno.EBADF)
    if mode == O_WRONLY:
        raise OSError(errno.EACCES)
    if flags & SHARED != 0 and mode == O_RDONLY:
        if flags & WRITE != 0:
            raise OSError(errno.EACCES)
        return flags & ~u32(MAY_WRITE)
    assert mode == O_RDONLY or mode == O_RDWR
    return flags


def _check_limits(space: AddressSpace, start: u64, size: u64, vm_flags: u32, flags: u64) -> None:
    """Raises MemoryError beyond RLIMIT_AS, RLIMIT_DATA, the number of areas or what may be promised;
    OSError(EPERM, EAGAIN) beyond RLIMIT_MEMLOCK."""
    number = size >> PAGE_SHIFT
    replaced: u64 = 0
    if flags & MapFlag.FIXED != 0:
        replaced = unmapping.pages_in(space, start, start + size)
    if not space.may_grow(number - min(replaced, number), vm_flags) or len(space.areas) >= MAX_AREAS:
        raise MemoryError
    if vm_flags & LOCKED != 0 and space.locked_pages + number > lockable_pages():
        raise OSError(errno.EPERM if lockable_pages() == 0 else errno.EAGAIN)
    if is_accountable(vm_flags) and not overcommit.may_commit(number):
        raise MemoryError


def lockable_pages() -> u64:
    """How many pages the caller may have locked: RLIMIT_MEMLOCK, which binds nobody with CAP_IPC_LOCK (mlock(2))."""
    if capable(Capability.CAP_IPC_LOCK):
        return u64(1) << 52
    return limit(Resource.RLIMIT_MEMLOCK) >> PAGE_SHIFT


def is_accountable(flags: u32) -> bool:
    """Whether such an area is a promise of memory: private and writable."""
    return flags & (WRITE | SHARED | NO_RESERVE) == WRITE


# -- where


def _place(space: AddressSpace, address: u64, size: u64, flags: u64) -> u64:
    """Where the area goes. Raises OSError(EINVAL, EPERM, EEXIST, ENOMEM)."""
    if flags & (MapFlag.FIXED | MapFlag.FIXED_NOREPLACE) != 0:
        _check_fixed(space, address, size, flags)
        return address
    wanted = address & PAGE_MASK
    if wanted >= LOWEST and wanted <= USER_END - min(size, USER_END) and is_free(space, wanted, size):
        return wanted
    if flags & MapFlag.BIT32 != 0:
        return _choose_below(space, size, u64(BIT32_START), u64(BIT32_END))
    return choose(space, size)


def _check_fixed(space: AddressSpace, address: u64, size: u64, flags: u64) -> None:
    if address & (PAGE_SIZE - 1) != 0:
        raise OSError(errno.EINVAL)
    if address > USER_END or size > USER_END - address:
        raise MemoryError
    if address < LOWEST:
        raise OSError(errno.EPERM)
    if flags & MapFlag.FIXED_NOREPLACE != 0:
        for _ in space.areas.between(address, address + size):
            raise FileExistsError


def guarded_start(vma: Vma) -> u64:
    """Where the area begins for its neighbour below: a stack keeps a gap."""
    if vma.flags & GROWS_DOWN != 0:
        return vma.start - min(u64(STACK_GAP), vma.start)
    return vma.start


def is_free(space: AddressSpace, start: u64, size: u64) -> bool:
    """Whether nothing is in [start, start + size), nor a stack too close above."""
    following = space.areas.first_ending_above(start)
    return following is None or guarded_start(following) >= start + size


def choose(space: AddressSpace, size: u64) -> u64:
    """The highest free place below `map_top`; failing that, anywhere. Raises MemoryError."""
    try:
        return _choose_packed(space, size)
    except MemoryError:
        return _choose_below(space, size, u64(LOWEST), u64(USER_END))


def _choose_packed(space: AddressSpace, size: u64) -> u64:
    """As choose, below `map_top` only. What is known to be full is not searched again: a process with thousands of
    areas would otherwise look at all of them for each new one."""
    known = space.packed_from != 0 and size >= space.packed_holes
    gap = Gap(_packed_end(space) if known else space.map_top)
    gap.search(space, size, u64(LOWEST))
    place = gap.ceiling - size
    if known:
        space.packed_holes = max(space.packed_holes, gap.skipped + 1)
        space.packed_from = place
    elif space.packed_from == 0 or place < space.packed_from:
        space.packed_holes = gap.skipped + 1
        space.packed_from = place
    return place


def _packed_end(space: AddressSpace) -> u64:
    """Where what is known to be full begins: the end of the gap below it."""
    following = space.areas.first_ending_above(space.packed_from)
    return space.map_top if following is None else min(space.map_top, guarded_start(following))


def _choose_below(space: AddressSpace, size: u64, low: u64, high: u64) -> u64:
    """The end of the highest gap in [low, high) that is large enough. Raises MemoryError."""
    gap = Gap(high)
    gap.search(space, size, low)
    return gap.ceiling - size


@struct
class Gap:
    """A search for the highest gap."""

    ceiling: u64
    """Where the gap in hand ends."""
    skipped: u64 = 0
    """The largest gap that was too small."""

    def search(self, space: AddressSpace, size: u64, low: u64) -> None:
        """Go down until `size` fits below the ceiling. Raises MemoryError."""
        for vma in space.areas.starting_below(self.ceiling):
            if vma.end < self.ceiling:
                if self.ceiling - vma.end >= size:
                    break
                self.skipped = max(self.skipped, self.ceiling - vma.end)
            self.ceiling = min(self.ceiling, guarded_start(vma))
        if self.ceiling < low + size:
            raise MemoryError


# -- putting it in


def _clear_place(space: AddressSpace, start: u64, size: u64, flags: u64) -> None:
    """MAP_FIXED: what was there goes, now that nothing but memory can be missing."""
    if flags & MapFlag.FIXED != 0:
        unmapping.unmap_locked(space, start, start + size)


def _map_anonymous(space: AddressSpace, start: u64, size: u64, vm_flags: u32, flags: u64) -> None:
    if vm_flags & SHARED == 0:
        _clear_place(space, start, size, flags)
        _insert_anonymous(space, start, size, vm_flags)
        return
    vma = Vma(start, start + size, vm_flags, None, u64(0))
    vma.show_own(PageCache(None))
    _clear_place(space, start, size, flags)
    space.link(vma)


def _insert_anonymous(space: AddressSpace, start: u64, size: u64, flags: u32) -> None:
    """Private memory at a free place."""
    if is_accountable(flags):
        flags |= ACCOUNTED
    if flags & GROWS_DOWN != 0 and len(space.areas) == 0:
        space.place_below_stack(start + size)
    if not _extend_neighbour(space, start, size, flags):
        space.link(Vma(start, start + size, flags, None, u64(0)))


def insert_heap(space: AddressSpace, start: u64, size: u64) -> None:
    """Anonymous memory at a free place, under `lock`, writing: brk(2). Raises MemoryError."""
    flags: u32 = Prot.READ | WRITE | MAY_READ | MAY_WRITE | MAY_EXEC | space.future_flags
    _check_limits(space, start, size, flags, u64(0))
    _insert_anonymous(space, start, size, flags)


def _extend_neighbour(space: AddressSpace, start: u64, size: u64, flags: u32) -> bool:
    """Grow an anonymous area that ends or starts here instead of making one: the usual case of heaps. (Areas that a new
    one would join into a single area stay two until mprotect merges them.)"""
    before = space.areas.last_at_or_below(start)
    if before is not None and before.end == start and _is_same_kind(before, flags):
        before.end = start + size
        space.count(before, size >> PAGE_SHIFT)
        return True
    after = space.areas.first_ending_above(start + size)
    if after is not None and after.start == start + size and _is_same_kind(after, flags):
        space.areas.move_start(after, start)
        space.count(after, size >> PAGE_SHIFT)
        return True
    return False


def _is_same_kind(vma: Vma, flags: u32) -> bool:
    return vma.cache is None and vma.file is None and vma.special == 0 and vma.flags == flags


def _file_area(start: u64, size: u64, flags: u32, file: File, offset: u64) -> Vma:
    """An area that is nowhere yet. The file says what its pages are: a cache, or none for one that behaves as anonymous
    memory (/dev/zero). Raises what File.mmap raises, MemoryError."""
    if is_accountable(flags):
        flags |= ACCOUNTED
    vma = Vma(start, start + size, flags, file, offset)
    file.mmap(vma)
    if vma.cache is None and vma.special == 0 and vma.flags & SHARED != 0:
        vma.show_own(PageCache(None))
        vma.offset = 0
    return vma


# -- the kernel's own frames


def map_special(space: AddressSpace, address: u64, first_frame: u64, count: u64, prot: u64) -> u64:
    """Show `count` frames in a row; at `address`, or where mmap likes when that is 0. Raises MemoryError."""
    size = count << PAGE_SHIFT
    with space.lock.write():
        start = address if address != 0 else choose(space, size)
        vma = Vma(start, start + size, u32(prot & RIGHTS) | MAY_READ | MAY_EXEC | SPECIAL, None, u64(0))
        vma.special = first_frame
        space.link(vma)
    return start


def map_vdso(space: AddressSpace) -> u64:
    """Data page, then code pages, one area each since their frames are apart. Gives where the code is. Raises
    MemoryError."""
    count = u64(machine.elf.VDSO_PAGES)
    start = space.find_gap(count << PAGE_SHIFT)
    for index in range(count):
        prot = Prot.READ if index == 0 else Prot.READ | Prot.EXEC
        map_special(space, start + (index << PAGE_SHIFT), machine.elf.vdso_page(index), u64(1), prot)
    with space.lock.write():
        space.vdso_address = start + machine.elf.VDSO_CODE_OFFSET
    return start + machine.elf.VDSO_CODE_OFFSET


@syscall(x86_64=9, arm64=222)
def mmap(address: u64, length: u64, prot: u64, flags: u64, fd: Fd, offset: u64) -> u64:
    """mmap(2): map a file or memory into the caller's address space."""
    task = machine.percpu.current()
    space = task.mm
    assert space is not None
    if offset & (PAGE_SIZE - 1) != 0:
        raise OSError(errno.EINVAL)
    if flags & MapFlag.ANONYMOUS != 0:
        return space.map(address, length, prot, flags, None, u64(0))
    return space.map(address, length, prot, flags, task.files.get(fd), offset)


@cold
def describe(vma: Vma, heap_start: u64, heap_end: u64, stack: u64) -> str:
    """What /proc/PID/maps calls an area without a file."""
    if vma.start < heap_end and vma.end > heap_start:
        return "[heap]"
    if vma.start <= stack < vma.end:
        return "[stack]"
    return "[vdso]" if vma.special != 0 else ""


def has_frame(vma: Vma) -> bool:
    """Whether the area shows frames that are memory of the allocator's."""
    return vma.special == 0 or frame.has_descriptor(vma.special)
