# SPDX-License-Identifier: Apache-2.0
"""I/O APICs: lines of devices to vectors (82093AA data sheet; ACPI 6.5, 5.2.12). Addresses and overrides come from
ACPI's MADT, or microvm's fixed ones: one at 0xfec00000 whose first line is 0.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import apic, irq, paging
from kaa.lang import Array, u8, u32, u64
from kaa.lang.unsafe import Ptr, volatile_load, volatile_store

DEFAULT_ADDRESS = 0xFEC0_0000
SELECT = 0
WINDOW = 0x10
VERSION = 1
REDIRECTION = 0x10
ACTIVE_LOW = 1 << 13
LEVEL = 1 << 15
MASKED = 1 << 16
MOST_CONTROLLERS = 8
OVERRIDE_SET = 0x80
OVERRIDE_LOW = 1
OVERRIDE_LEVEL = 2


class Controllers:
    """The I/O APICs found, and what ACPI says of ISA lines that differ. Written at boot."""

    count: u32
    addresses: Array[u64, 8]
    first_lines: Array[u32, 8]
    line_counts: Array[u32, 8]
    isa_lines: Array[u32, 16]
    isa_flags: Array[u8, 16]

    def __init__(self) -> None:
        self.count = u32(0)
        self.addresses = Array[u64, 8]()
        self.first_lines = Array[u32, 8]()
        self.line_counts = Array[u32, 8]()
        self.isa_lines = Array[u32, 16]()
        self.isa_flags = Array[u8, 16]()


controllers = Controllers()


def _read(base: u64, register: u32) -> u32:
    volatile_store(Ptr[u32](base + SELECT), register)
    return volatile_load(Ptr[u32](base + WINDOW))


def _write(base: u64, register: u32, value: u32) -> None:
    volatile_store(Ptr[u32](base + SELECT), register)
    volatile_store(Ptr[u32](base + WINDOW), value)


def add(physical_address: u64, first_line: u32) -> None:
    """A controller: map it, mask its lines. Raises MemoryError."""
    index = controllers.count
    if index >= MOST_CONTROLLERS:
        return
    base = paging.map_device(physical_address, 32)
    lines: u32 = ((_read(base, VERSION) >> 16) & 0xFF) + 1
    controllers.addresses[index] = base
    controllers.first_lines[index] = first_line
    controllers.line_counts[index] = lines
    controllers.count = index + 1
    for line in range(lines):
        _write(base, REDIRECTION + 2 * u32(line), MASKED)


def override(isa: u8, line: u32, level: bool, low: bool) -> None:
    """ACPI: ISA interrupt `isa` comes in at global line `line`."""
    if isa < 16:
        controllers.isa_lines[isa] = line
        controllers.isa_flags[isa] = OVERRIDE_SET | (OVERRIDE_LEVEL if level else 0) | (OVERRIDE_LOW if low else 0)


def initialise() -> None:
    """When ACPI named no controller: the one every PC has. Raises MemoryError."""
    if controllers.count == 0:
        add(DEFAULT_ADDRESS, 0)


def route(line: u32, vector: u32, level: bool, low: bool) -> None:
    """Send `line` to this processor as `vector`, unmasked. ISA lines (below 16) follow ACPI's overrides. A line that no
    controller has is left alone."""
    if line < 16 and controllers.isa_flags[line] & OVERRIDE_SET != 0:
        flags = controllers.isa_flags[line]
        level = flags & OVERRIDE_LEVEL != 0
        low = flags & OVERRIDE_LOW != 0
        line = controllers.isa_lines[line]
    entry = vector | (LEVEL if level else 0) | (ACTIVE_LOW if low else 0)
    for index in range(controllers.count):
        first = controllers.first_lines[index]
        if first <= line and line - first < controllers.line_counts[index]:
            _program(controllers.addresses[index], line - first, entry)


def _program(base: u64, pin: u32, entry: u32) -> None:
    """Both halves of a redirection entry, destination first: the low half unmasks."""
    saved = irq.save()
    _write(base, REDIRECTION + 2 * pin + 1, apic.identity() << 24)
    _write(base, REDIRECTION + 2 * pin, entry)
    irq.restore(saved)
