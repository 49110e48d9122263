# SPDX-License-Identifier: Apache-2.0
"""Files of /proc with a part for each processor that runs: cpuinfo and interrupts. Formats: proc(5)."""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.kernel.fs.proc.tree import tree
from kaa.kernel.fs.text import TextBuffer
from kaa.lang import popcount, trailing_zeros, u32, u64

COLUMN = 10
COLON = 0x3A
SPACE = 0x20
NEWLINE = 0x0A


def show_cpuinfo(out: TextBuffer) -> None:
    """/proc/cpuinfo. All processors are cores of one package."""
    running = u64(machine.smp.online_mask())
    cores = u32(popcount(running))
    while running != 0:
        machine.cpuinfo.show(out, u32(trailing_zeros(running)), cores)
        running &= running - 1


def show_interrupts(out: TextBuffer) -> None:
    """/proc/interrupts: a row for each interrupt, a column for each processor."""
    out.add(b"    ")
    running = u64(machine.smp.online_mask())
    while running != 0:
        number = u64(trailing_zeros(running))
        running &= running - 1
        out.add(b"       CPU" if number < 10 else b"      CPU")
        out.decimal(number)
    out.byte(NEWLINE)
    for row in range(machine.interrupt_counts.ROWS):
        if machine.interrupt_counts.present(u32(row)):
            _show_row(out, u32(row))


def _show_row(out: TextBuffer, row: u32) -> None:
    if row < machine.interrupt_counts.NMI_ROW:
        out.decimal(u64(machine.interrupt_counts.line(row)), 3)
    else:
        out.add(machine.interrupt_counts.label(row))
    out.byte(COLON)
    running = u64(machine.smp.online_mask())
    while running != 0:
        out.byte(SPACE)
        out.decimal(machine.interrupt_counts.count(row, u32(trailing_zeros(running))), COLUMN)
        running &= running - 1
    out.add(b"   ")
    out.add(machine.interrupt_counts.text(row))
    out.byte(NEWLINE)


tree.file("cpuinfo", show_cpuinfo)
tree.file("interrupts", show_interrupts)
