# SPDX-License-Identifier: Apache-2.0
"""Virtio over MMIO (virtio 1.2 §4.2): version 2, and the legacy version 1 (§4.2.4) that QEMU offers by default.

Devices are not discovered but told: by `virtio_mmio.device=SIZE@ADDRESS:IRQ[:ID]` on the kernel command line, as QEMU's
microvm appends. SIZE may end in K, M or G; numbers may be hexadecimal.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel import log
from kaa.kernel.abi.virtio import MMIO_MAGIC, DeviceKind, Mmio
from kaa.kernel.arch.x86_64.window import Window, open_window
from kaa.kernel.drivers.virtio import device
from kaa.kernel.drivers.virtio.queue import VirtQueue
from kaa.kernel.drivers.virtio.transport import Transport
from kaa.lang import Bytes, copy, u32, u64, usize

PAGE_SIZE = 4096
LEGACY = 1
MODERN = 2
MINIMUM_SIZE = 0x100


class MmioTransport(Transport):
    """The registers of one device."""

    registers: Window
    version: Final[u32]

    def __init__(self, registers: Window, version: u32) -> None:
        self.registers = copy(registers)
        self.version = version

    def read(self, offset: u32) -> u32:
        """A 32-bit register."""
        return self.registers.read32(u64(offset))

    def write(self, offset: u32, value: u32) -> None:
        """Write a 32-bit register."""
        self.registers.write32(u64(offset), value)

    def write_address(self, offset: u32, address: u64) -> None:
        """Write a 64-bit address as two registers, low half first."""
        self.write(offset, u32(address))
        self.write(offset + 4, u32(address >> 32))

    def kind(self) -> u32:
        return self.read(Mmio.DEVICE_ID)

    def modern(self) -> bool:
        return self.version == MODERN

    def status(self) -> u32:
        return self.read(Mmio.STATUS)

    def set_status(self, status: u32) -> None:
        self.write(Mmio.STATUS, status)
        if status == 0 and self.version == LEGACY:
            self.write(Mmio.LEGACY_GUEST_PAGE_SIZE, PAGE_SIZE)

    def device_features(self) -> u64:
        self.write(Mmio.DEVICE_FEATURES_SELECT, 0)
        low = u64(self.read(Mmio.DEVICE_FEATURES))
        if self.version == LEGACY:
            return low
        self.write(Mmio.DEVICE_FEATURES_SELECT, 1)
        return low | u64(self.read(Mmio.DEVICE_FEATURES)) << 32

    def set_driver_features(self, features: u64) -> None:
        self.write(Mmio.DRIVER_FEATURES_SELECT, 0)
        self.write(Mmio.DRIVER_FEATURES, u32(features))
        if self.version == MODERN:
            self.write(Mmio.DRIVER_FEATURES_SELECT, 1)
            self.write(Mmio.DRIVER_FEATURES, u32(features >> 32))

    def queue_limit(self, index: u32) -> u32:
        self.write(Mmio.QUEUE_SELECT, index)
        return self.read(Mmio.QUEUE_SIZE_MAX)

    def start_queue(self, queue: VirtQueue) -> None:
        self.write(Mmio.QUEUE_SELECT, queue.index)
        self.write(Mmio.QUEUE_SIZE, queue.size)
        if self.version == LEGACY:
            self.write(Mmio.LEGACY_QUEUE_ALIGN, device.USED_ALIGN)
            self.write(Mmio.LEGACY_QUEUE_PFN, u32(queue.descriptors_physical // PAGE_SIZE))
            return
        self.write_address(Mmio.QUEUE_DESCRIPTORS, queue.descriptors_physical)
        self.write_address(Mmio.QUEUE_AVAILABLE, queue.available_physical)
        self.write_address(Mmio.QUEUE_USED, queue.used_physical)
        self.write(Mmio.QUEUE_READY, 1)

    def notify(self, queue: VirtQueue) -> None:
        self.write(Mmio.QUEUE_NOTIFY, queue.index)

    def config8(self, offset: u32) -> u32:
        return u32(self.registers.read8(u64(Mmio.CONFIG + offset)))

    def acknowledge(self) -> u32:
        cause = self.read(Mmio.INTERRUPT_STATUS)
        self.write(Mmio.INTERRUPT_ACKNOWLEDGE, cause)
        return cause


def probe(physical: u64, size: u64, line: u32) -> None:
    """Look at one place and start the device there, if there is one. Errors go to the log."""
    if size < MINIMUM_SIZE or physical % 4 != 0:
        log.warn(f"virtio-mmio: no device fits {size} bytes at {physical:#x}")
        return
    registers = open_window(physical, size)
    version = registers.read32(Mmio.VERSION)
    if registers.read32(0) != MMIO_MAGIC or (version != LEGACY and version != MODERN):
        log.warn(f"virtio-mmio: no device at {physical:#x}")
        return
    transport = MmioTransport(registers, version)
    if transport.kind() != DeviceKind.NONE:
        device.attach(device.VirtioDevice(transport), line)


def probe_word(word: Bytes) -> None:
    """One `SIZE@ADDRESS:IRQ[:ID]` of the command line."""
    at = word.find(64)
    colon = word.find(58)
    if at <= 0 or colon <= at:
        log.warn(f"virtio_mmio.device={word}: not SIZE@ADDRESS:IRQ")
        return
    rest = word[usize(colon) + 1 :]
    end = rest.find(58)
    line = parse(rest if end < 0 else rest[: usize(end)])
    probe(parse(word[usize(at) + 1 : usize(colon)]), parse(word[: usize(at)]), u32(line))


def parse(text: Bytes) -> u64:
    """A decimal or 0x-hexadecimal number, times 1024 for each step of K, M, G; 0 for what is no number."""
    value: u64 = 0
    hexadecimal = text.startswith(b"0x")
    for byte in text[2:] if hexadecimal else text:
        if value >> 52:
            return 0
        if 48 <= byte <= 57:
            value = value * (16 if hexadecimal else 10) + (byte - 48)
        elif hexadecimal and 97 <= (byte | 32) <= 102:
            value = value * 16 + ((byte | 32) - 87)
        elif (byte | 32) == 107:
            value <<= 10
        elif (byte | 32) == 109:
            value <<= 20
        elif (byte | 32) == 103:
            value <<= 30
        else:
            return 0
    return value


