# SPDX-License-Identifier: Apache-2.0
"""The MADT: which interrupt controllers there are (ACPI 6.5, 5.2.12): I/O APICs, ISA lines that do not go straight, and
processors by their local APICs."""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import ioapic, processors
from kaa.kernel.drivers.acpi import tables
from kaa.lang import Bytes, u32, u64, usize

FIRST_ENTRY = 44
LOCAL_APIC, IO_APIC, OVERRIDE, LOCAL_X2APIC = 0, 1, 2, 9
ENABLED = 1
ACTIVE_LOW, LEVEL_TRIGGERED = 3, 3


def _override(entry: Bytes) -> None:
    """Interrupt source override: bus 0 (ISA), source, line, flags (polarity bits 0-1, trigger bits 2-3)."""
    flags = entry[8]
    ioapic.override(entry[3], tables.read32(entry, 4), (flags >> 2) & 3 == LEVEL_TRIGGERED, flags & 3 == ACTIVE_LOW)


def read() -> None:
    """Tell ioapic and processors what the table says. Raises MemoryError."""
    read_table(tables.find(b"APIC"))


def read_table(table: Bytes) -> None:
    """The entries, as far as they are whole. A processor that is not enabled could be plugged in: not here."""
    at: usize = usize(FIRST_ENTRY)
    while at + 2 <= len(table):
        size = usize(table[at + 1])
        if size < 2 or at + size > len(table):
            return
        entry = table[at : at + size]
        if entry[0] == IO_APIC and size >= 12:
            ioapic.add(u64(tables.read32(entry, 4)), u32(tables.read32(entry, 8)))
        elif entry[0] == OVERRIDE and size >= 10:
            _override(entry)
        elif entry[0] == LOCAL_APIC and size >= 8 and entry[4] & ENABLED != 0:
            processors.add(u32(entry[3]))
        elif entry[0] == LOCAL_X2APIC and size >= 16 and entry[8] & ENABLED != 0:
            processors.add(tables.read32(entry, 4))
        at += size
