# SPDX-License-Identifier: Apache-2.0
"""The texts of /proc/PID about its memory: cmdline, environ, auxv, maps, smaps, statm. Formats: proc(5).

The address space's lock is held for reading while areas are listed; texts are in kernel memory, so nothing faults under
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.abi.stat import device_major, device_minor
from kaa.kernel.arch import machine
from kaa.kernel.fs.path_text import path_text
from kaa.kernel.fs.text import CHUNK, TextBuffer, TextChunk
from kaa.kernel.mm import pages
from kaa.kernel.mm.vma import EXEC, READ, SHARED, WRITE
from kaa.kernel.process import foreign
from kaa.lang import Bytes, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.mm.vma import Vma
    from kaa.kernel.process.task import Task

NAME_COLUMN = 73
NEWLINE = 10
SPACE = 32


def copy_memory(out: TextBuffer, mm: AddressSpace, start: u64, end: u64) -> None:
    """Append another process's memory; stops where it cannot be read."""
    piece = TextChunk()
    at = start
    while at < end:
        take = min(end - at, CHUNK)
        got = mm.read_remote(at, piece.data[0:take])
        out.add(piece.data[0:got])
        at += got
        if got < take:
            return


def show_cmdline(out: TextBuffer, task: Task) -> None:
    """/proc/PID/cmdline: arguments, each with its NUL; empty for kernel threads."""
    mm = foreign.memory_of(task)
    if mm is not None:
        copy_memory(out, mm, mm.argument_start, mm.argument_end)


def show_environ(out: TextBuffer, task: Task) -> None:
    """/proc/PID/environ."""
    mm = foreign.memory_of(task)
    if mm is not None:
        copy_memory(out, mm, mm.environment_start, mm.environment_end)


def show_auxv(out: TextBuffer, task: Task) -> None:
    """/proc/PID/auxv."""
    mm = foreign.memory_of(task)
    if mm is not None:
        copy_memory(out, mm, mm.auxv_address, mm.auxv_address + mm.auxv_size)


def kib(out: TextBuffer, name: Bytes, pages_: u64) -> None:
    """name: n kB"""
    out.add(name)
    out.decimal(pages_ * 4, 8)
    out.add(b" kB\n")


def show_memory_status(out: TextBuffer, mm: AddressSpace) -> None:
    """The Vm lines of /proc/PID/status."""
    resident = mm.resident_pages()
    kib(out, b"VmPeak:\t", max(mm.peak_pages, mm.total_pages))
    kib(out, b"VmSize:\t", mm.total_pages)
    kib(out, b"VmLck:\t", mm.locked_pages)
    kib(out, b"VmPin:\t", 0)
    kib(out, b"VmHWM:\t", max(mm.peak_resident, resident))
    kib(out, b"VmRSS:\t", resident)
    kib(out, b"RssAnon:\t", mm.anonymous_pages)
    kib(out, b"RssFile:\t", mm.file_pages)
    kib(out, b"RssShmem:\t", 0)
    kib(out, b"VmData:\t", mm.data_pages)
    kib(out, b"VmStk:\t", mm.stack_pages)
    kib(out, b"VmExe:\t", (mm.end_code - min(mm.start_code, mm.end_code)) >> 12)
    kib(out, b"VmLib:\t", mm.exec_pages)
    kib(out, b"VmPTE:\t", 0)
    kib(out, b"VmSwap:\t", 0)


def show_statm(out: TextBuffer, task: Task) -> None:
    """/proc/PID/statm, in pages."""
    mm = foreign.memory_of(task)
    if mm is None:
        out.add(b"0 0 0 0 0 0 0\n")
        return
    out.decimal(mm.total_pages)
    out.byte(SPACE)
    out.decimal(mm.resident_pages())
    out.byte(SPACE)
    out.decimal(mm.file_pages)
    out.byte(SPACE)
    out.decimal(mm.exec_pages)
    out.add(b" 0 ")
    out.decimal(mm.data_pages + mm.stack_pages)
    out.add(b" 0\n")


def show_maps(out: TextBuffer, task: Task) -> None:
    """/proc/PID/maps."""
    mm = foreign.memory_of(task)
    if mm is None:
        return
    with mm.lock.read():
        for vma in mm.areas:
            show_area(out, mm, vma)


def show_area(out: TextBuffer, mm: AddressSpace, vma: Vma) -> None:
    """One line: range, rights, offset, device, inode, name."""
    start = out.length
    out.hexadecimal(vma.start, 8)
    out.byte(0x2D)
    out.hexadecimal(vma.end, 8)
    out.byte(SPACE)
    out.byte(0x72 if vma.flags & READ else 0x2D)
    out.byte(0x77 if vma.flags & WRITE else 0x2D)
    out.byte(0x78 if vma.flags & EXEC else 0x2D)
    out.byte(0x73 if vma.flags & SHARED else 0x70)
    out.byte(SPACE)
    file = vma.file
    inode = None if file is None else file.inode()
    if file is None or inode is None:
        out.add(b"00000000 00:00 0 ")
        name = area_name(mm, vma)
        if len(name) > 0:
            pad(out, start)
            out.add(name)
    else:
        out.hexadecimal(vma.offset, 8)
        out.byte(SPACE)
        out.hexadecimal(u64(device_major(inode.superblock.device)), 2)
        out.byte(0x3A)
        out.hexadecimal(u64(device_minor(inode.superblock.device)), 2)
        out.byte(SPACE)
        out.decimal(inode.number)
        out.byte(SPACE)
        path = file.path
        if path is not None:
            pad(out, start)
            out.add(path_text(path, machine.percpu.current().fs.root()))
    out.byte(NEWLINE)


def pad(out: TextBuffer, start: u64) -> None:
    """Blanks up to the name's column."""
    while out.length - start < NAME_COLUMN:
        out.byte(SPACE)


def area_name(mm: AddressSpace, vma: Vma) -> Bytes:
    """[heap], [stack], [vdso], or nothing."""
    if vma.start <= mm.start_stack < vma.end:
        return b"[stack]"
    if vma.start < mm.program_break and vma.end > mm.start_break and mm.start_break != 0:
        return b"[heap]"
    if vma.special != 0 and mm.vdso_address != 0:
        return b"[vdso]" if vma.flags & EXEC else b"[vvar]"
    return b""


def show_smaps(out: TextBuffer, task: Task) -> None:
    """/proc/PID/smaps: maps with sizes."""
    mm = foreign.memory_of(task)
    if mm is None:
        return
    with mm.lock.read():
        for vma in mm.areas:
            show_area(out, mm, vma)
            _sizes(out, (vma.end - vma.start) >> 12, pages.count_resident(mm, vma.start, vma.end))
            out.add(b"VmFlags:")
            _vm_flags(out, vma.flags)
            out.byte(NEWLINE)


def _vm_flags(out: TextBuffer, flags: u32) -> None:
    if flags & READ:
        out.add(b" rd")
    if flags & WRITE:
        out.add(b" wr")
    if flags & EXEC:
        out.add(b" ex")
    if flags & SHARED:
        out.add(b" sh")


def _sizes(out: TextBuffer, size: u64, resident: u64) -> None:
    kib(out, b"Size:           ", size)
    out.add(b"KernelPageSize:        4 kB\nMMUPageSize:           4 kB\n")
    kib(out, b"Rss:            ", resident)
    kib(out, b"Pss:            ", resident)
    kib(out, b"Shared_Clean:   ", 0)
    kib(out, b"Shared_Dirty:   ", 0)
    kib(out, b"Private_Clean:  ", 0)
    kib(out, b"Private_Dirty:  ", resident)
    kib(out, b"Referenced:     ", resident)
    kib(out, b"Anonymous:      ", 0)
    kib(out, b"AnonHugePages:  ", 0)
    kib(out, b"Swap:           ", 0)
    kib(out, b"Locked:         ", 0)


def show_smaps_rollup(out: TextBuffer, task: Task) -> None:
    """/proc/PID/smaps_rollup: the sums."""
    mm = foreign.memory_of(task)
    if mm is None:
        return
    out.add(b"00000000-7ffffffff000 ---p 00000000 00:00 0                          [rollup]\n")
    _sizes(out, mm.total_pages, mm.resident_pages())
