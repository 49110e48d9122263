# SPDX-License-Identifier: Apache-2.0
"""A virtio device, from reset to running (virtio 1.2 §3.1.1), and the table of drivers.

`@virtio_driver(DeviceKind.X, features)` on `probe(device) -> VirtioDriver` registers a driver at import. Probing
happens at boot or when a bus finds a device, in process context; `interrupt` and `config_changed` run in interrupts.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from kaa.kernel import log
from kaa.kernel.abi.virtio import Feature, Interrupt, Status
from kaa.kernel.arch import machine
from kaa.kernel.drivers.virtio.dma import DmaBuffer
from kaa.kernel.drivers.virtio.queue import VirtQueue, ring_bytes
from kaa.kernel.drivers.virtio.transport import Transport
from kaa.kernel.locking import rcu
from kaa.kernel.locking.mutex import Mutex
from kaa.lang import Array, Guarded, Rcu, RcuHead, u32, u64

USED_ALIGN = 64
"""Alignment of used rings, and of queues within a page."""
PAGE_SIZE = 4096


class VirtioDriver(RcuHead):
    """What runs a device. Both methods run in an interrupt: they take IRQ spin locks, wake threads, nothing more."""

    def interrupt(self) -> None:
        """The device has used chains of some queue."""

    def config_changed(self) -> None:
        """The device's configuration is another."""


class VirtioDevice:
    """One device: its transport, what was negotiated, its queues' memory, its driver."""

    transport: Final[Transport]
    kind: Final[u32]
    lock: Final[Mutex]
    """Held while a driver probes."""
    features: Guarded[u64, "lock"] = 0
    driver: Rcu[VirtioDriver | None] = None
    ring_memory: Guarded[list[DmaBuffer], "lock"]
    ring_left: Guarded[u64, "lock"] = 0
    """Bytes left in the newest of `ring_memory`."""
    next_on_line: VirtioDevice | None = None

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.kind = transport.kind()
        self.lock = Mutex("virtio device")
        self.ring_memory = []

    def has(self, feature: u64) -> bool:
        """Whether a feature (a mask) was negotiated."""
        return self.features & feature != 0

    def reset(self) -> None:
        """Back to the state of power-on."""
        self.transport.set_status(0)

    def add_status(self, bits: u32) -> None:
        """Set bits of the status field."""
        self.transport.set_status(self.transport.status() | bits)

    def negotiate(self, wanted: u64) -> None:
        """Take the features that both sides know. Raises OSError(ENODEV) when the device insists on others."""
        modern = self.transport.modern()
        needed: u64 = Feature.VERSION_1 if modern else 0
        offered = self.transport.device_features()
        self.features = offered & (wanted | needed)
        if self.features & needed != needed:
            raise OSError(errno.ENODEV)
        self.transport.set_driver_features(self.features)
        if modern:
            self.add_status(Status.FEATURES_OK)
            if self.transport.status() & Status.FEATURES_OK == 0:
                raise OSError(errno.ENODEV)

    def queue(self, index: u32, wanted: u32) -> VirtQueue:
        """Make and start a queue of at most `wanted` entries (a power of two). Raises OSError(ENODEV), MemoryError."""
        size = min(self.transport.queue_limit(index), wanted)
        if size == 0 or size & (size - 1) != 0:
            raise OSError(errno.ENODEV)
        physical = self.ring_space((ring_bytes(size, USED_ALIGN) + USED_ALIGN - 1) // USED_ALIGN * USED_ALIGN)
        queue = VirtQueue(index, size, physical, machine.paging.direct_map(physical), USED_ALIGN)
        self.transport.start_queue(queue)
        return queue

    def ring_space(self, size: u64) -> u64:
        """Zeroed memory for a queue's rings; a page of its own for the legacy interface, which names it by frame."""
        if size > self.ring_left or not self.transport.modern():
            order: u32 = 0
            while u64(PAGE_SIZE) << order < size:
                order += 1
            buffer = DmaBuffer(order)
            self.ring_memory.append(buffer)
            self.ring_left = buffer.size()
        newest = self.ring_memory[len(self.ring_memory) - 1]
        start = newest.physical() + newest.size() - self.ring_left
        self.ring_left -= size
        return start

    def start(self) -> None:
        """All queues are set up: the device may work."""
        self.add_status(Status.DRIVER_OK)

    def fail(self) -> None:
        """Give the device up."""
        self.add_status(Status.FAILED)

    def kick(self, queue: VirtQueue) -> None:
        """Tell the device of what was added to a queue, if it wants to know."""
        if queue.notify_wanted():
            self.transport.notify(queue)


class DriverEntry:
    """A registered driver."""

    kind: Final[u32]
    features: Final[u64]
    probe: Final[Callable[[VirtioDevice], VirtioDriver]]

    def __init__(self, kind: u32, features: u64, probe: Callable[[VirtioDevice], VirtioDriver]) -> None:
        self.kind = kind
        self.features = features
        self.probe = probe


DRIVERS: list[DriverEntry] = []
"""Filled at import."""


def virtio_driver(
    kind: int, features: int
) -> Callable[[Callable[[VirtioDevice], VirtioDriver]], Callable[[VirtioDevice], VirtioDriver]]:
    """Register `probe` for devices of a kind; `features` are the masks it knows."""

    def register(probe: Callable[[VirtioDevice], VirtioDriver]) -> Callable[[VirtioDevice], VirtioDriver]:
        DRIVERS.append(DriverEntry(u32(kind), u64(features), probe))
        return probe

    return register


class Lines:
    """Which devices interrupt through which vector; several may share a line. Written at boot only."""

    by_vector: Array[VirtioDevice | None, 256]
    vector_of_line: Array[u32, 256]

    def __init__(self) -> None:
        self.by_vector = Array[VirtioDevice | None, 256]()
        self.vector_of_line = Array[u32, 256]()

    def connect(self, device: VirtioDevice, line: u32, low: bool) -> None:
        """Let a level-triggered line interrupt for `device`."""
        vector = self.vector_of_line[line]
        if vector == 0:
            vector = machine.irq.connect(line, interrupt, True, low)
            self.vector_of_line[line] = vector
        self.add(device, vector)

    def add(self, device: VirtioDevice, vector: u32) -> None:
        """Let a vector interrupt for `device`."""
        flags = machine.irq.save()
        device.next_on_line = self.by_vector[vector]
        self.by_vector[vector] = device
        machine.irq.restore(flags)


lines = Lines()


def interrupt(vector: u32) -> None:
    """The interrupt handler of all virtio devices."""
    device = lines.by_vector[vector]
    while device is not None:
        cause = device.transport.acknowledge()
        with rcu.read():
            driver = device.driver
            if driver is not None and cause & Interrupt.QUEUE:
                driver.interrupt()
            if driver is not None and cause & Interrupt.CONFIG:
                driver.config_changed()
        device = device.next_on_line


def attach(device: VirtioDevice, line: u32) -> None:
    """Start a device that a bus found, with interrupts by a level-triggered, active-high line."""
    lines.connect(device, line, False)
    start_driver(device)


def start_driver(device: VirtioDevice) -> bool:
    """Reset the device, find its driver, let it probe. False when there is none or it fails; the log says why."""
    for entry in DRIVERS:
        if entry.kind == device.kind:
            return probe_with(device, entry)
    log.info(f"virtio: no driver for device kind {device.kind}")
    return False


def probe_with(device: VirtioDevice, entry: DriverEntry) -> bool:
    """Steps 1 to 8 of §3.1.1. The driver itself calls `device.start()` when its queues are ready. What the device used
    before interrupts find the driver is taken at the end."""
    try:
        device.reset()
        device.add_status(Status.ACKNOWLEDGE)
        device.add_status(Status.DRIVER)
        with device.lock:
            device.negotiate(entry.features)
            driver = entry.probe(device)
            device.driver = driver
        driver.interrupt()
        return True
    except OSError as error:
        log.error(f"virtio: device kind {device.kind} does not start: error {error.errno}")
    except MemoryError:
        log.error(f"virtio: no memory for device kind {device.kind}")
    device.fail()
    return False
