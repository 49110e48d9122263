# SPDX-License-Identifier: Apache-2.0
"""Power off and reset by the FADT's registers (ACPI 6.5, 4.8.3, 5.2.9, 7.4.2).

The value to write for soft-off (S5) is in the DSDT, in AML: `Name (_S5_, Package {typ_a, typ_b, …})`. The package's
encoding is simple enough to find and read without an interpreter (20.2): the name, PackageOp 0x12, length, count, then
byte constants. A machine with reduced hardware (microvm) has a sleep control register in memory or I/O space instead of
PM1 control. """

from __future__ import annotations

from kaa.kernel.arch.x86_64 import instructions
from kaa.kernel.arch.x86_64.window import Window, open_window
from kaa.kernel.drivers.acpi import tables
from kaa.lang import Bytes, u8, u16, u32, u64, usize

DSDT, PM1A_CONTROL, PM1B_CONTROL, FLAGS = 40, 64, 68, 112
RESET_REGISTER, RESET_VALUE, X_DSDT, SLEEP_CONTROL = 116, 128, 140, 244
SMI_COMMAND, ACPI_ENABLE = 48, 52
REDUCED_HARDWARE = 1 << 20
RESET_SUPPORTED = 1 << 10
SLEEP_ENABLE = 1 << 13
SYSTEM_MEMORY, SYSTEM_IO = 0, 1
NAME_OP, PACKAGE_OP, BYTE_PREFIX = 0x08, 0x12, 0x0A


class Registers:
    """Where to write what. Filled at boot; 0 or an empty window: there is no such register."""

    pm1a: u16
    pm1b: u16
    type_a: u16
    type_b: u16
    sleep_port: u16
    sleep_memory: Window
    reset_port: u16
    reset_memory: Window
    reset_value: u8

    def __init__(self) -> None:
        self.pm1a = u16(0)
        self.pm1b = u16(0)
        self.type_a = u16(0)
        self.type_b = u16(0)
        self.sleep_port = u16(0)
        self.sleep_memory = Window()
        self.reset_port = u16(0)
        self.reset_memory = Window()
        self.reset_value = u8(0)


registers = Registers()


def soft_off_types(dsdt: Bytes) -> tuple[u16, u16]:
    """SLP_TYPa and SLP_TYPb for S5; zeros when the DSDT does not say."""
    for at in range(tables.HEADER_SIZE, max(len(dsdt), 16) - 16):
        if dsdt[at] == 95 and dsdt[at : at + 4] == b"_S5_" and dsdt[at + 4] == PACKAGE_OP:
            first = at + 5 + (dsdt[at + 5] >> 6) + 2
            return _constants(dsdt[first:])
    return u16(0), u16(0)


def _constants(elements: Bytes) -> tuple[u16, u16]:
    """The first two elements of the package: ZeroOp, OneOp, or a byte with its prefix."""
    at: usize = usize(0)
    first, at = _constant(elements, at)
    second, at = _constant(elements, at)
    return first, second


def _constant(elements: Bytes, at: usize) -> tuple[u16, usize]:
    if at >= len(elements):
        return u16(0), at
    if elements[at] == BYTE_PREFIX and at + 1 < len(elements):
        return u16(elements[at + 1]), at + 2
    return u16(elements[at]) if elements[at] <= 1 else u16(0), at + 1


def read() -> None:
    """Fill `registers` from FADT and DSDT. Raises MemoryError."""
    table = tables.find(b"FACP")
    if len(table) < 116:
        return
    flags = tables.read32(table, FLAGS)
    dsdt = tables.read64(table, X_DSDT)
    if dsdt == 0:
        dsdt = u64(tables.read32(table, DSDT))
    if dsdt != 0:
        registers.type_a, registers.type_b = soft_off_types(tables.table_at(dsdt))
    if flags & REDUCED_HARDWARE == 0:
        registers.pm1a = u16(tables.read32(table, PM1A_CONTROL))
        registers.pm1b = u16(tables.read32(table, PM1B_CONTROL))
        _enable(table)
    else:
        _sleep_control(table)
    if flags & RESET_SUPPORTED != 0:
        _reset_register(table)


def _enable(table: Bytes) -> None:
    """Ask the firmware to hand the power registers over, if it has them still (4.8.2.5)."""
    port = u16(tables.read32(table, SMI_COMMAND))
    if port != 0 and registers.pm1a != 0 and instructions.in16(registers.pm1a) & 1 == 0:
        instructions.out8(port, table[ACPI_ENABLE])


def _sleep_control(table: Bytes) -> None:
    """A generic address structure: space, width, offset, access, address."""
    address = tables.read64(table, SLEEP_CONTROL + 4)
    if address == 0 or SLEEP_CONTROL >= len(table):
        return
    if table[SLEEP_CONTROL] == SYSTEM_IO:
        registers.sleep_port = u16(address)
    elif table[SLEEP_CONTROL] == SYSTEM_MEMORY:
        registers.sleep_memory = open_window(address, 1)


def _reset_register(table: Bytes) -> None:
    address = tables.read64(table, RESET_REGISTER + 4)
    registers.reset_value = table[RESET_VALUE]
    if table[RESET_REGISTER] == SYSTEM_IO:
        registers.reset_port = u16(address)
    elif table[RESET_REGISTER] == SYSTEM_MEMORY and address != 0:
        registers.reset_memory = open_window(address, 1)


def off() -> None:
    """Enter S5; returns if the machine does not."""
    if registers.pm1a != 0:
        instructions.out16(registers.pm1a, registers.type_a << 10 | SLEEP_ENABLE)
    if registers.pm1b != 0:
        instructions.out16(registers.pm1b, registers.type_b << 10 | SLEEP_ENABLE)
    value = u8(u32(registers.type_a) << 2 | 0x20)
    if registers.sleep_port != 0:
        instructions.out8(registers.sleep_port, value)
    if registers.sleep_memory.present():
        registers.sleep_memory.write8(0, value)


def reset() -> None:
    """Write the reset register; returns if there is none."""
    if registers.reset_port != 0:
        instructions.out8(registers.reset_port, registers.reset_value)
    if registers.reset_memory.present():
        registers.reset_memory.write8(0, registers.reset_value)
