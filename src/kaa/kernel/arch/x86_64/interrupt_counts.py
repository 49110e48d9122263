# SPDX-License-Identifier: Apache-2.0
"""How often which interrupt came to which processor: the rows of /proc/interrupts (proc(5)).

Rows 0 to 255 are the device vectors that have a handler; the rest are a processor's own.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import apic, ipi, irq, percpu
from kaa.lang import Bytes, u32, u64

NMI_ROW, TIMER_ROW, RESCHEDULE_ROW, CALL_ROW, FLUSH_ROW, ROWS = 256, 257, 258, 259, 260, 261
LABELS: list[bytes] = [b"NMI", b"LOC", b"RES", b"CAL", b"TLB"]
TEXTS: list[bytes] = [
    b"Non-maskable interrupts", b"Local timer interrupts", b"Rescheduling interrupts", b"Function call interrupts",
    b"TLB shootdowns",
]  # fmt: skip


def present(row: u32) -> bool:
    """Is there such a row?"""
    if row >= NMI_ROW:
        return True
    return irq.FIRST_VECTOR <= row <= irq.LAST_VECTOR and irq.vectors.handlers[row] is not None


def line(row: u32) -> u32:
    """A device row's number: that of the interrupt line, or the vector's where messages come without a line."""
    known = irq.vectors.lines[row]
    return known - 1 if known != 0 else row


def label(row: u32) -> Bytes:
    """The name of a processor's own row."""
    return LABELS[row - NMI_ROW]


def text(row: u32) -> Bytes:
    """What the row is."""
    if row >= NMI_ROW:
        return TEXTS[row - NMI_ROW]
    return b"IO-APIC" if irq.vectors.lines[row] != 0 else b"PCI-MSI"


def count(row: u32, number: u32) -> u64:
    """How many came to a processor."""
    if percpu.areas.address[number] == 0:
        return u64(0)
    if row < NMI_ROW:
        return percpu.interrupt_count(number, row)
    if row == NMI_ROW:
        return percpu.remote(number).nmi_count
    if row == TIMER_ROW:
        return percpu.interrupt_count(number, u32(apic.TIMER_VECTOR))
    if row == RESCHEDULE_ROW:
        kicks = percpu.interrupt_count(number, u32(apic.KICK_VECTOR))
        return percpu.interrupt_count(number, u32(apic.RESCHEDULE_VECTOR)) + kicks
    box = ipi.mailbox(number)
    return box.calls if row == CALL_ROW else box.flushes
