# SPDX-License-Identifier: Apache-2.0
"""Looking through the PCI buses, and giving what is found to its driver. So far: virtio."""

from __future__ import annotations

from typing import Final

from kaa.kernel import log
from kaa.kernel.drivers.pci.config import HEADER, SECONDARY_BUS, VENDOR, Function
from kaa.kernel.drivers.virtio import pci as virtio_pci
from kaa.lang import recursive, u32

MULTIFUNCTION = 0x80
BRIDGE = 1
MOST_BRIDGES: Final = 8
"""One behind the other; what is behind more is not looked at."""


def scan() -> None:
    """All functions of all buses that bridges lead to from bus 0. Nothing answers where there is no PCI (microvm)."""
    if Function(0, 0, 0).present():
        scan_bus(u32(0), u32(0))


@recursive(MOST_BRIDGES + 1, "visit looks no further behind bridges")
def scan_bus(bus: u32, depth: u32) -> None:
    """The devices of one bus, and what is behind bridges on it, `depth` of which led here."""
    for device in range(32):
        first = Function(bus, u32(device), 0)
        if not first.present():
            continue
        kind = first.read8(HEADER + 2)
        visit(first, bus, depth)
        if kind & MULTIFUNCTION:
            for number in range(1, 8):
                function = Function(bus, u32(device), u32(number))
                if function.present():
                    visit(function, bus, depth)


def visit(function: Function, bus: u32, depth: u32) -> None:
    """One function: a bridge is looked behind, a device given to its driver."""
    if function.read8(HEADER + 2) & 0x7F == BRIDGE:
        secondary = function.read8(SECONDARY_BUS + 1)
        if secondary > bus and depth < MOST_BRIDGES:
            scan_bus(secondary, depth + 1)
        return
    try:
        identity = function.read32(VENDOR)
        if identity & 0xFFFF == virtio_pci.VENDOR_ID:
            virtio_pci.probe(function, identity >> 16)
    except (MemoryError, OSError):
        log.error(f"pci: {bus:x}:{function.device:x}.{function.function:x}: not started")
