# SPDX-License-Identifier: Apache-2.0
"""PCI configuration space through its two ports (configuration mechanism #1, PCI Local Bus 3.0 §3.2.2.3.2).

`lock` keeps address and data together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kaa.kernel.arch.x86_64.instructions import in32, out32
from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.lang import u32, u64

ADDRESS_PORT = 0xCF8
DATA_PORT = 0xCFC
ENABLE = 0x80000000
VENDOR = 0x00
COMMAND = 0x04
REVISION = 0x08
HEADER = 0x0C
BARS = 0x10
CAPABILITIES = 0x34
INTERRUPT_LINE = 0x3C
SECONDARY_BUS = 0x18

COMMAND_MEMORY = 2
COMMAND_MASTER = 4
COMMAND_NO_INTX = 0x400
STATUS_CAPABILITIES = 0x100000
NO_DEVICE = 0xFFFFFFFF

lock = IrqSpinLock("pci configuration")


class Function:
    """One function of a device. Raw registers by offset, four bytes wide."""

    bus: Final[u32]
    device: Final[u32]
    function: Final[u32]

    def __init__(self, bus: u32, device: u32, function: u32) -> None:
        self.bus = bus
        self.device = device
        self.function = function

    def select(self, offset: u32) -> u32:
        """The word for the address port."""
        return ENABLE | self.bus << 16 | self.device << 11 | self.function << 8 | (offset & 0xFC)

    def read32(self, offset: u32) -> u32:
        """The aligned register that holds `offset`."""
        with lock:
            out32(ADDRESS_PORT, self.select(offset))
            return in32(DATA_PORT)

    def read16(self, offset: u32) -> u32:
        """Two bytes."""
        return (self.read32(offset) >> (8 * (offset & 2))) & 0xFFFF

    def read8(self, offset: u32) -> u32:
        """One byte."""
        return (self.read32(offset) >> (8 * (offset & 3))) & 0xFF

    def write32(self, offset: u32, value: u32) -> None:
        """Write an aligned register."""
        with lock:
            out32(ADDRESS_PORT, self.select(offset))
            out32(DATA_PORT, value)

    def present(self) -> bool:
        """Whether a function answers here."""
        return self.read32(VENDOR) != NO_DEVICE

    def enable(self) -> None:
        """Let it answer to memory accesses and reach memory itself."""
        command = self.read32(COMMAND) & 0xFFFF
        self.write32(COMMAND, command | COMMAND_MEMORY | COMMAND_MASTER)

    def memory_bar(self, number: u32) -> u64:
        """The physical address in a base address register, 32 or 64 bits wide; 0 for I/O ports or none."""
        if number > 5:
            return 0
        low = self.read32(BARS + 4 * number)
        if low & 1:
            return 0
        address = u64(low & 0xFFFFFFF0)
        if low & 6 == 4 and number < 5:
            address |= u64(self.read32(BARS + 4 * number + 4)) << 32
        return address

    def capabilities(self) -> Iterator[u32]:
        """Offsets of its capabilities. A list that loops ends after as many as there is room for."""
        offset: u32 = 0
        if self.read32(COMMAND) & STATUS_CAPABILITIES:
            offset = self.read8(CAPABILITIES) & 0xFC
        for _ in range(48):
            if offset < 0x40:
                break
            yield offset
            offset = self.read8(offset + 1) & 0xFC
