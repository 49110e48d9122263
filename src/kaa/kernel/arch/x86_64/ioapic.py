# SPDX-License-Identifier: Apache-2.0
"""I/O APICs: lines of devices to vectors (82093AA data sheet; ACPI 6.5, 5.2.12). Addresses and overrides come from
ACPI's MADT, or microvm's fixed ones: one at 0xfec00000 whose first line is 0.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.arch.x86_64 import apic, processors
from kaa.kernel.arch.x86_64.window import Window, open_window
from kaa.kernel.locking.spinlock import LeafLock
from kaa.lang import Array, u8, u32, u64

DEFAULT_ADDRESS = 0xFEC0_0000
SELECT = 0
DATA = 0x10
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
    """The I/O APICs found, and what ACPI says of ISA lines that differ. Written at boot. `lock` guards the controllers'
    registers, of which only one at a time can be seen."""

    lock: Final[LeafLock]

    count: u32
    windows: Array[Window, 8]
    first_lines: Array[u32, 8]
    line_counts: Array[u32, 8]
    isa_lines: Array[u32, 16]
    isa_flags: Array[u8, 16]

    def __init__(self) -> None:
        self.lock = LeafLock("I/O APIC")
        self.count = u32(0)
        self.windows = Array[Window, 8]()
        self.first_lines = Array[u32, 8]()
        self.line_counts = Array[u32, 8]()
        self.isa_lines = Array[u32, 16]()
        self.isa_flags = Array[u8, 16]()


controllers = Controllers()


def _read(controller: Window, register: u32) -> u32:
    controller.write32(SELECT, register)
    return controller.read32(DATA)


def _write(controller: Window, register: u32, value: u32) -> None:
    controller.write32(SELECT, register)
    controller.write32(DATA, value)


def add(physical_address: u64, first_line: u32) -> None:
    """A controller: map it, mask its lines. Raises MemoryError."""
    index = controllers.count
    if index >= MOST_CONTROLLERS:
        return
    controller = open_window(physical_address, 32)
    lines: u32 = ((_read(controller, VERSION) >> 16) & 0xFF) + 1
    controllers.windows[index] = controller
    controllers.first_lines[index] = first_line
    controllers.line_counts[index] = lines
    controllers.count = index + 1
    for line in range(lines):
        _write(controller, REDIRECTION + 2 * u32(line), MASKED)


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
            _program(controllers.windows[index], line - first, entry)


def spread() -> None:
    """Send the lines in use to the processors by turns. An interrupt that is under way goes where it was sent."""
    for index in range(controllers.count):
        controller = controllers.windows[index]
        for pin in range(controllers.line_counts[index]):
            controllers.lock.acquire()
            if _read(controller, REDIRECTION + 2 * u32(pin)) & MASKED == 0:
                _write(controller, REDIRECTION + 2 * u32(pin) + 1, processors.next_target() << 24)
            controllers.lock.release()


def _program(controller: Window, pin: u32, entry: u32) -> None:
    """Both halves of a redirection entry, destination first: the low half unmasks."""
    controllers.lock.acquire()
    _write(controller, REDIRECTION + 2 * pin + 1, apic.identity() << 24)
    _write(controller, REDIRECTION + 2 * pin, entry)
    controllers.lock.release()
