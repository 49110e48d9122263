# SPDX-License-Identifier: Apache-2.0
"""A process's memory: its areas and its page table. Threads share it; fork copies it; the last to leave takes it apart.

Locks: `lock` guards the areas and the layout words: faults and look-ups read, mmap and its kin write. `table_lock`
guards the page table and the counts of resident pages. Order: lock → PageCache.areas_lock → table_lock.

The work is in the files named for it: mapping, unmapping, protection, remap, copying (fork), faults.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.resource import Resource
from kaa.kernel.arch import machine
from kaa.kernel.lib.range_map import RangeMap
from kaa.kernel.locking.rwsem import RwSem
from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.mm import copying, faults, file_mappings, frame, mapping, overcommit, pages, protection, unmapping
from kaa.kernel.mm.frame import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from kaa.kernel.mm.space_accounts import Accounts
from kaa.kernel.mm.vma import GROWS_DOWN, SHARED, WRITE, Vma
from kaa.kernel.process.limits import limit
from kaa.lang import Atomic, Bytes, Guarded, Relaxed, Slice, inline, u8, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File

USER_END: Final = machine.paging.USER_END
LOWEST: Final = 0x1_0000
"""vm.mmap_min_addr: nothing is mapped below without CAP_SYS_RAWIO, so that null pointers fault."""
MAX_AREAS: Final = 65530
"""vm.max_map_count."""
DEFAULT_TOP: Final = 0x7FFF_F7FF_F000


class AddressSpace(Accounts):
    """One user address space; see the module."""

    lock: Final[RwSem]
    table_lock: Final[SpinLock]
    page_table: Final[machine.paging.PageTable]
    areas: Guarded[RangeMap[Vma], "lock"]
    executable: Guarded[File | None, "lock"] = None
    """/proc/PID/exe; set by execve."""

    # Layout, set by execve: proc(5), /proc/PID/stat.
    map_top: Guarded[u64, "lock"]
    """mmap chooses addresses from here downwards."""
    packed_from: Guarded[u64, "lock"] = 0
    """Between here and `map_top` every hole is smaller than `packed_holes`; 0: not known."""
    packed_holes: Guarded[u64, "lock"] = 0
    kept_table: Guarded[u64, "lock"] = unmapping.NONE
    """Where the page table may have a table that serves nothing: unmapping.py."""
    start_code: u64 = 0
    end_code: u64 = 0
    start_data: u64 = 0
    end_data: u64 = 0
    start_break: Guarded[Relaxed[u64], "lock"] = 0
    program_break: Guarded[Relaxed[u64], "lock"] = 0
    start_stack: Guarded[Relaxed[u64], "lock"] = 0
    argument_start: Guarded[Relaxed[u64], "lock"] = 0
    argument_end: Guarded[Relaxed[u64], "lock"] = 0
    environment_start: Guarded[Relaxed[u64], "lock"] = 0
    environment_end: Guarded[Relaxed[u64], "lock"] = 0
    auxv_address: u64 = 0
    auxv_size: u64 = 0
    vdso_address: Guarded[Relaxed[u64], "lock"] = 0
    future_flags: Guarded[u32, "lock"] = 0
    """LOCKED after mlockall(MCL_FUTURE)."""
    membarrier: Atomic[u32]
    """The registrations of membarrier(2)."""
    doomed: Atomic[bool]
    """The OOM killer takes its memory: faults fail from now on. Looked at under `table_lock`."""
    is_shared: Atomic[bool]
    """Several threads have run in it side by side: a thread was made, or a process that shares memory (not by vfork,
    which waits)."""
    complete: bool = False
    """The constructor did not run out of memory half-way."""

    def __init__(self) -> None:
        """Empty. Raises MemoryError."""
        super().__init__()
        self.lock = RwSem("address space")
        self.table_lock = SpinLock("page table")
        self.page_table = machine.paging.PageTable()
        self.areas = RangeMap[Vma]()
        self.map_top = DEFAULT_TOP
        self.membarrier = Atomic(0)
        self.doomed = Atomic(False)
        self.is_shared = Atomic(False)
        self.complete = True

    def __del__(self) -> None:
        """Nobody runs here any more: give everything back. Truncate and reclaim may still find the areas, until they
        are off their files' lists. Sleeps."""
        if not self.complete:
            return
        self.page_table.leave()
        for vma in self.areas:
            pages.unmap(self, vma.start, vma.end)
        file_mappings.unlink_all(self.areas)
        for vma in self.areas:
            file_mappings.write_back(vma)
        self.areas.clear()
        overcommit.uncommit(self.committed_pages)

    # -- areas

    @inline
    def find(self, address: u64) -> Vma | None:
        """The area that contains address. Under `lock`."""
        return self.areas.find(address)

    def link(self, vma: Vma) -> None:
        """Put a finished area in, and count it. Raises MemoryError. Under `lock`, writing."""
        self.insert(vma)
        file_mappings.link(vma)

    def insert(self, vma: Vma) -> None:
        """As link, but not yet known to the file."""
        vma.space = self
        self.areas.insert(vma)
        self.count(vma, vma.pages())

    def unlink(self, vma: Vma) -> None:
        """Take an area out whose pages are unmapped already, or belong to another area now. Under `lock`, writing."""
        self.uncount(vma, vma.pages())
        file_mappings.unlink(vma)
        self.areas.remove(vma)
        if self.packed_from != 0 and vma.end > self.packed_from:
            self.packed_from = vma.end

    # -- what system calls do; each takes the locks itself

    def map(self, address: u64, length: u64, prot: u64, flags: u64, file: File | None, offset: u64) -> u64:
        """mmap(2): `prot` of Prot, `flags` of MapFlag. Raises what mmap(2) says."""
        return mapping.map_memory(self, address, length, prot, flags, file, offset)

    def unmap(self, address: u64, length: u64) -> None:
        """munmap(2)."""
        unmapping.unmap(self, address, length)

    def protect(self, address: u64, length: u64, prot: u64) -> None:
        """mprotect(2)."""
        protection.protect(self, address, length, prot)

    def brk(self, address: u64) -> u64:
        """brk(2): move the end of the heap; gives where it is then, unchanged when it cannot be moved."""
        from kaa.kernel.mm import program_break

        return program_break.move(self, address)

    def fork(self, stack: u64, code: u64) -> AddressSpace:
        """A copy for a child process, whose stack pointer will be `stack`, and which goes on at `code`. Raises
        MemoryError."""
        return copying.fork(self, stack, code)

    def fault(self, address: u64, access: u32) -> None:
        """Bring a page in, as if the program had touched it (page_fault.py has the bits of access). Raises
        OSError(EFAULT), MemoryError."""
        if faults.resolve(self, address, access) != faults.RESOLVED:
            raise OSError(errno.EFAULT)

    def install_special(self, address: u64, first_frame: u64, count: u64, prot: u64) -> u64:
        """Show frames of the kernel's (in a row, never freed) at or near an address: the vDSO. Gives the address."""
        return mapping.map_special(self, address, first_frame, count, prot)

    # -- execve

    def find_gap(self, length: u64) -> u64:
        """An address where `length` bytes are free, as mmap would choose. Raises MemoryError."""
        with self.lock.write():
            return mapping.choose(self, length)

    def set_break_start(self, address: u64) -> None:
        """The program ends here; brk(2) starts at the next page."""
        start = (address + (PAGE_SIZE - 1)) & PAGE_MASK
        with self.lock.write():
            self.start_break = start
            self.program_break = start

    def map_vdso(self) -> u64:
        """Show the vDSO: its data page, then its code, in one area each. Gives the address of the code
        (AT_SYSINFO_EHDR). Raises MemoryError."""
        return mapping.map_vdso(self)

    def note_program(self, file: File, base: u64, environment: u64, end: u64) -> None:
        """The program's file, and where the stack holds arguments and environment: offsets from `base`. For
        /proc/PID/exe, cmdline and environ."""
        with self.lock.write():
            self.executable = file
            self.argument_start = base
            self.argument_end = base + environment
            self.environment_start = base + environment
            self.environment_end = base + end
            self.start_stack = base

    def program(self) -> File | None:
        """The program's file."""
        with self.lock.read():
            return self.executable

    def place_below_stack(self, top: u64) -> None:
        """mmap chooses below the room that the stack may grow to: its limit, within [128 MiB, 5/6 of user space]. Under
        `lock`, writing."""
        room = min(max(limit(Resource.RLIMIT_STACK), 128 << 20), USER_END // 6 * 5)
        self.map_top = (top - min(room + (1 << 20), top // 6 * 5)) & PAGE_MASK
        self.packed_from = 0

    # -- another process's memory

    def user_page(self, address: u64, access: u32) -> u64:
        """The frame that shows at address, brought in if need be, with a reference. `access`: 1 for one that may be
        written to. Raises OSError(EFAULT), MemoryError."""
        if address >= USER_END:
            raise OSError(errno.EFAULT)
        while True:
            with self.table_lock:
                entry = self._usable_entry(address, access)
                if entry != 0:
                    pfn = machine.paging.entry_pfn(entry)
                    frame.get_page(pfn)
                    return pfn
            self.fault(address, access | faults.USER)

    get_user_page = user_page

    @inline
    def _usable_entry(self, address: u64, access: u32) -> u64:
        """The entry of a page if it allows such an access, else 0. Under `table_lock`."""
        entry = self.page_table.get(address)
        if machine.paging.entry_present(entry) and (access & 1 == 0 or machine.paging.entry_writable(entry)):
            return entry
        return u64(0)

    def read_remote(self, address: u64, into: Slice[u8]) -> usize:
        """Copy from this address space, whoever runs; gives how many bytes could be had."""
        done: usize = 0
        while done < len(into) and address < USER_END - done:
            offset = (address + done) & (PAGE_SIZE - 1)
            step = min(PAGE_SIZE - offset, len(into) - done)
            try:
                pfn = self.user_page(address + done, 0)
            except OSError:
                break
            into[done : done + step].copy_from(frame.contents(pfn)[offset : offset + step])
            frame.put_page(pfn)
            done += step
        return done

    def write_remote(self, address: u64, data: Bytes) -> usize:
        """Copy into this address space, whoever runs; gives how many bytes could be stored."""
        done: usize = 0
        while done < len(data) and address < USER_END - done:
            offset = (address + done) & (PAGE_SIZE - 1)
            step = min(PAGE_SIZE - offset, len(data) - done)
            try:
                self._write_page(address + done, data[done : done + step])
            except OSError:
                break
            done += step
        return done

    def _write_page(self, address: u64, data: Bytes) -> None:
        """Within one page, under `table_lock`: a fork between looking the page up and storing would let the child see
        what is stored. Raises OSError(EFAULT), MemoryError."""
        offset = address & (PAGE_SIZE - 1)
        while True:
            with self.table_lock:
                entry = self._usable_entry(address, u32(1))
                if entry != 0:
                    pfn = machine.paging.entry_pfn(entry)
                    frame.contents(pfn)[offset : offset + len(data)].copy_from(data)
                    return
            self.fault(address, u32(faults.USER | faults.WRITING))

    # -- limits

    def may_grow(self, number: u64, flags: u32) -> bool:
        """Whether so many more pages of such an area stay within RLIMIT_AS and RLIMIT_DATA."""
        room = limit(Resource.RLIMIT_AS) >> PAGE_SHIFT
        return self.total_pages + number <= room and self.may_have_data(number, flags)

    def may_have_data(self, number: u64, flags: u32) -> bool:
        """Whether so many more pages of such an area stay within RLIMIT_DATA."""
        if flags & (WRITE | SHARED | GROWS_DOWN) != WRITE:
            return True
        return self.data_pages + number <= limit(Resource.RLIMIT_DATA) >> PAGE_SHIFT
