# SPDX-License-Identifier: Apache-2.0
"""MSI-X (PCI Local Bus 3.0 §6.8.2): interrupts as memory writes to the local APIC (Intel SDM vol. 3 §11.11).

One entry of the table is used: all causes of a device share a vector. Writes the device's table directly.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.arch.x86_64 import irq
from kaa.kernel.arch.x86_64.window import Window, open_window
from kaa.kernel.drivers.pci.config import COMMAND, COMMAND_NO_INTX, Function
from kaa.lang import copy, u32, u64

CAPABILITY_ID = 0x11
ENABLE = 0x80000000
FUNCTION_MASK = 0x40000000
ENTRY_SIZE = 16
APIC_ADDRESS = 0xFEE00000


class Source:
    """A function that sends messages. Made when its driver starts, for ever."""

    function: Final[Function]
    control: Final[u32]
    """Where its control register is."""
    entry: Window

    def __init__(self, function: Function, control: u32, entry: Window) -> None:
        self.function = function
        self.control = control
        self.entry = copy(entry)


sources: list[Source] = []


def spread() -> None:
    """All processors run: let each have some of the messages. Entries are changed while the function is masked
    (6.8.3.5). Before process 1 becomes a program; no driver starts meanwhile."""
    for source in sources:
        control = source.function.read32(source.control)
        source.function.write32(source.control, control | FUNCTION_MASK)
        source.entry.write32(0, u32(APIC_ADDRESS) | irq.message_target() << 12)
        source.function.write32(source.control, control)


def enable(function: Function, vector: u32) -> bool:
    """Let entry 0 raise `vector`, and switch INTx off. False when the function has no MSI-X. Raises MemoryError."""
    for offset in function.capabilities():
        if function.read8(offset) == CAPABILITY_ID:
            return enable_at(function, offset, vector)
    return False


def enable_at(function: Function, offset: u32, vector: u32) -> bool:
    """The same with the capability's place."""
    table = function.read32(offset + 4)
    base = function.memory_bar(table & 7)
    if base == 0:
        return False
    function.enable()
    control = function.read32(offset)
    function.write32(offset, control | ENABLE | FUNCTION_MASK)
    entry = open_window(base + u64(table & 0xFFFFFFF8), ENTRY_SIZE)
    sources.append(Source(function, offset, entry))
    entry.write32(0, u32(APIC_ADDRESS) | irq.message_target() << 12)
    entry.write32(4, 0)
    entry.write32(8, vector)
    entry.write32(12, 0)
    function.write32(COMMAND, function.read32(COMMAND) & 0xFFFF | COMMAND_NO_INTX)
    function.write32(offset, control & ~u32(FUNCTION_MASK) | ENABLE)
    return True
