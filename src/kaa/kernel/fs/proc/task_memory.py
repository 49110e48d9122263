# SPDX-License-Identifier: Apache-2.0
"""The texts of /proc/PID about its memory as a whole: cmdline, environ, auxv, statm, smaps_rollup. Formats: proc(5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.fs.text import CHUNK, TextBuffer, TextChunk, kib
from kaa.kernel.process import foreign
from kaa.lang import u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.process.task import Task

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


def sizes(out: TextBuffer, size: u64, resident: u64) -> None:
    """What smaps tells of an area, or smaps_rollup of all: in pages."""
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
    sizes(out, mm.total_pages, mm.resident_pages())
