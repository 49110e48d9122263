# SPDX-License-Identifier: Apache-2.0
"""/proc/PID/maps and smaps: the areas of an address space, one after the other. Formats: proc(5).

A process may have tens of thousands of areas, and most readers stop early: the text is made as it is read, some areas
at a time, each time from where the last piece ended. What is between two pieces may change, as proc(5) warns.

The address space's lock is held for reading while a piece is made; texts are in kernel memory, so nothing faults under
it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.stat import device_major, device_minor
from kaa.kernel.arch import machine
from kaa.kernel.fs.path_text import path_text
from kaa.kernel.fs.proc.task_memory import SPACE, sizes
from kaa.kernel.fs.synthetic import GeneratedFile
from kaa.kernel.fs.text import TextBuffer
from kaa.kernel.mm import pages
from kaa.kernel.mm.vma import EXEC, READ, SHARED, WRITE
from kaa.kernel.process import foreign, ids
from kaa.lang import Bytes, Guarded, i32, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.path import Path
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.mm.user import UserBuf
    from kaa.kernel.mm.vma import Vma

NAME_COLUMN = 73
NEWLINE = 10
PIECE = 4096
"""Bytes: a piece ends with the area that reaches it. A read gives one piece at most."""


class AreasFile(GeneratedFile):
    """An open list of areas."""

    pid: Final[i32]
    show: Final[Callable[[TextBuffer, AddressSpace, Vma], None]]
    start: Guarded[u64, "position_lock"] = 0
    """Where in the whole text the piece in hand starts."""
    following: Guarded[u64, "position_lock"] = 0
    """Areas that end above this address come next."""

    def __init__(self, pid: i32, show: Callable[[TextBuffer, AddressSpace, Vma], None], node: Inode, path: Path,
                 flags: u32) -> None:  # fmt: skip
        super().__init__(node, path, flags)
        self.pid = pid
        self.show = show

    def _read(self, buf: UserBuf, offset: u64) -> usize:
        """From the piece that `offset` is in. Raises ProcessLookupError when the task is gone."""
        text = self.text
        if text is None:
            text = TextBuffer()
            self.text = text
        if offset == 0 or offset < self.start:
            self.start = 0
            self.following = 0
            text.clear()
        while offset >= self.start + text.length:
            self.start += text.length
            text.clear()
            self._add_piece(text)
            if text.length == 0:
                return usize(0)
        return text.copy_out(buf, offset - self.start)

    def _add_piece(self, text: TextBuffer) -> None:
        """The next areas; nothing when there are no more."""
        task = ids.find_task(self.pid)
        if task is None:
            raise ProcessLookupError
        mm = foreign.memory_of(task)
        if mm is None:
            return
        with mm.lock.read():
            for vma in mm.areas.ending_above(self.following):
                self.show(text, mm, vma)
                self.following = vma.end
                if text.length >= PIECE:
                    break


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


def show_area_sizes(out: TextBuffer, mm: AddressSpace, vma: Vma) -> None:
    """What smaps tells of an area."""
    show_area(out, mm, vma)
    sizes(out, (vma.end - vma.start) >> 12, pages.count_resident(mm, vma.start, vma.end))
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
