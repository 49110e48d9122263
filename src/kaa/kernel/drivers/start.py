# SPDX-License-Identifier: Apache-2.0
"""Finding the machine's hardware at boot, and letting it come to rest before the machine is switched off."""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.kernel.drivers import serial
from kaa.kernel.drivers.pci import msix, scan
from kaa.kernel.drivers.tty import devices, ptmx
from kaa.kernel.drivers.virtio import console as console  # registers its driver, as the other two do
from kaa.kernel.drivers.virtio import console_nodes, mmio
from kaa.kernel.drivers.virtio import entropy as entropy
from kaa.kernel.drivers.virtio import ninep as ninep
from kaa.kernel.init import command_line
from kaa.lang import Bytes

SERIAL_PATIENCE = 1_000_000_000
"""ns that `quiesce` gives a serial line."""


def start(line: Bytes = b"") -> None:
    """Find and start everything. Process context; scheduler, interrupts, time and memory work. Errors go to the log.

    `line` is the kernel command line; the drivers read the one that init keeps.
    """
    devices.register_nodes()
    ptmx.register_node()
    serial.start()
    for word in command_line.words():
        name = command_line.name_of(word)
        if name == b"console":
            devices.consoles.choose(command_line.value_of(word))
        elif name == b"virtio_mmio.device":
            mmio.probe_word(command_line.value_of(word))
    scan.scan()


def spread_interrupts() -> None:
    """All processors run: each gets some of the devices' interrupts."""
    machine.irq.spread()
    msix.spread()


def quiesce() -> None:
    """Wait until output that was written has left the machine: the ports' without limit while the host's end is
    open (the reader may be slow), the serial lines' for a second."""
    for device in console_nodes.consoles.all:
        for port in device.ports:
            if port.announced.load_acquire():
                port.drain()
    deadline = machine.clock.monotonic_ns() + SERIAL_PATIENCE
    while serial.pending() and machine.clock.monotonic_ns() < deadline:
        pass
