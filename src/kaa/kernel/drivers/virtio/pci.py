# SPDX-License-Identifier: Apache-2.0
"""Virtio over PCI (virtio 1.2 §4.1): the modern interface, through the capabilities that tell where its parts are.

Interrupts: MSI-X, one vector for everything; else the INTx line that the firmware noted in the configuration.
Transitional devices (IDs 0x1000 to 0x103F) have the modern interface too; purely legacy ones are left alone.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel import log
from kaa.kernel.abi.virtio import Interrupt, PciCapability, PciCommon
from kaa.kernel.arch import machine
from kaa.kernel.arch.x86_64.window import Window, open_window
from kaa.kernel.drivers.pci import msix
from kaa.kernel.drivers.pci.config import INTERRUPT_LINE, Function
from kaa.kernel.drivers.virtio import device
from kaa.kernel.drivers.virtio.queue import VirtQueue
from kaa.kernel.drivers.virtio.transport import Transport
from kaa.lang import Array, u8, u16, u32, u64

VENDOR_ID = 0x1AF4
MODERN_BASE = 0x1040
TRANSITIONAL_FIRST = 0x1000
LAST_ID = 0x107F
CAPABILITY_ID = 0x09
SUBSYSTEM = 0x2C
NO_VECTOR = 0xFFFF
PARTS = 5


class PciTransport(Transport):
    """One function. `parts` are the register groups, by PciCapability; absent ones are empty windows."""

    function: Final[Function]
    device_kind: Final[u32]
    parts: Array[Window, PARTS]
    notify_step: u32 = 0
    """Bytes between the doorbells of queues with consecutive notify offsets."""
    messages: bool = False
    """MSI-X is on: the ISR register says nothing."""

    def __init__(self, function: Function, device_kind: u32) -> None:
        self.function = function
        self.device_kind = device_kind
        self.parts = Array[Window, PARTS]()

    def find_parts(self) -> bool:
        """Map the register groups; False when one is missing, as with legacy devices. Raises MemoryError."""
        for offset in self.function.capabilities():
            kind = self.function.read8(offset + 3)
            if self.function.read8(offset) == CAPABILITY_ID and 1 <= kind < PARTS and not self.parts[kind].present():
                self.map_part(offset, kind)
        return self.parts[PciCapability.COMMON].present() and self.parts[PciCapability.NOTIFY].present()

    def map_part(self, offset: u32, kind: u32) -> None:
        """Map the group that the capability at `offset` tells of."""
        base = self.function.memory_bar(self.function.read8(offset + 4))
        length = self.function.read32(offset + 12)
        if base == 0 or length == 0 or length > 0x100000:
            return
        self.parts[kind] = open_window(base + self.function.read32(offset + 8), u64(length))
        if kind == PciCapability.NOTIFY:
            self.notify_step = self.function.read32(offset + 16)

    def common(self) -> Window:
        """The common configuration registers."""
        return self.parts[PciCapability.COMMON]

    def kind(self) -> u32:
        return self.device_kind

    def status(self) -> u32:
        return u32(self.common().read8(PciCommon.DEVICE_STATUS))

    def set_status(self, status: u32) -> None:
        self.common().write8(PciCommon.DEVICE_STATUS, u8(status))
        if status == 0:
            self.finish_reset()

    def finish_reset(self) -> None:
        """The device is reset when its status reads 0 (§4.1.4.3.2); then choose the interrupt for configuration
        changes."""
        for _ in range(100000):
            if self.status() == 0:
                break
        if self.messages:
            self.common().write16(PciCommon.CONFIG_MSIX_VECTOR, u16(0))

    def device_features(self) -> u64:
        common = self.common()
        common.write32(PciCommon.DEVICE_FEATURE_SELECT, 0)
        low = u64(common.read32(PciCommon.DEVICE_FEATURE))
        common.write32(PciCommon.DEVICE_FEATURE_SELECT, 1)
        return low | u64(common.read32(PciCommon.DEVICE_FEATURE)) << 32

    def set_driver_features(self, features: u64) -> None:
        common = self.common()
        common.write32(PciCommon.DRIVER_FEATURE_SELECT, 0)
        common.write32(PciCommon.DRIVER_FEATURE, u32(features))
        common.write32(PciCommon.DRIVER_FEATURE_SELECT, 1)
        common.write32(PciCommon.DRIVER_FEATURE, u32(features >> 32))

    def select_queue(self, index: u32) -> None:
        """The queue that the next registers are about."""
        self.common().write16(PciCommon.QUEUE_SELECT, u16(index))

    def queue_limit(self, index: u32) -> u32:
        if index >= u32(self.common().read16(PciCommon.NUM_QUEUES)):
            return 0
        self.select_queue(index)
        return u32(self.common().read16(PciCommon.QUEUE_SIZE))

    def start_queue(self, queue: VirtQueue) -> None:
        self.select_queue(queue.index)
        self.common().write16(PciCommon.QUEUE_SIZE, u16(queue.size))
        if self.messages:
            self.common().write16(PciCommon.QUEUE_MSIX_VECTOR, u16(0))
        self.write_address(PciCommon.QUEUE_DESC, queue.descriptors_physical)
        self.write_address(PciCommon.QUEUE_DRIVER, queue.available_physical)
        self.write_address(PciCommon.QUEUE_DEVICE, queue.used_physical)
        offset = u32(self.common().read16(PciCommon.QUEUE_NOTIFY_OFF))
        queue.doorbell = u64(offset) * self.notify_step
        self.common().write16(PciCommon.QUEUE_ENABLE, u16(1))

    def write_address(self, offset: u32, address: u64) -> None:
        """A 64-bit register, as two halves (§4.1.3.1)."""
        self.common().write32(offset, u32(address))
        self.common().write32(offset + 4, u32(address >> 32))

    def notify(self, queue: VirtQueue) -> None:
        self.parts[PciCapability.NOTIFY].write16(queue.doorbell, u16(queue.index))

    def config8(self, offset: u32) -> u32:
        device_part = self.parts[PciCapability.DEVICE]
        return u32(device_part.read8(u64(offset))) if u64(offset) < device_part.size else 0

    def acknowledge(self) -> u32:
        if self.messages or not self.parts[PciCapability.ISR].present():
            return Interrupt.QUEUE | Interrupt.CONFIG
        return u32(self.parts[PciCapability.ISR].read8(0))


def probe(function: Function, identity: u32) -> None:
    """Start the virtio device that a function is. Raises MemoryError, OSError(ENOSPC)."""
    if not TRANSITIONAL_FIRST <= identity <= LAST_ID:
        return
    kind = identity - MODERN_BASE if identity >= MODERN_BASE else function.read32(SUBSYSTEM) >> 16
    transport = PciTransport(function, kind)
    function.enable()
    if not transport.find_parts():
        log.warn(f"virtio-pci: device kind {kind} has only the legacy interface")
        return
    found = device.VirtioDevice(transport)
    connect(found, transport, function)
    device.start_driver(found)


def connect(found: device.VirtioDevice, transport: PciTransport, function: Function) -> None:
    """Interrupts, before the device's queues are told which to use."""
    vector = machine.irq.allocate_vector()
    if msix.enable(function, vector):
        machine.irq.register(vector, device.interrupt)
        transport.messages = True
        device.lines.add(found, vector)
        return
    line = function.read8(INTERRUPT_LINE)
    if line != 0 and line < 24:
        device.lines.connect(found, line, False)
