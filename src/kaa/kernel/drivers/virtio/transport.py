# SPDX-License-Identifier: Apache-2.0
"""What every virtio transport does: the device status field, features, queues, configuration (virtio 1.2 §2, §3)."""

from __future__ import annotations

from kaa.kernel.abi.virtio import Interrupt
from kaa.kernel.drivers.virtio.queue import VirtQueue
from kaa.lang import u32, u64


class Transport:
    """How to reach one device. Subclasses override everything but what is said."""

    def kind(self) -> u32:
        """The device ID (§5)."""
        return 0

    def modern(self) -> bool:
        """Whether the device speaks virtio 1.x and not the legacy interface."""
        return True

    def status(self) -> u32:
        """The device status field."""
        return 0

    def set_status(self, status: u32) -> None:
        """Write the device status field; 0 resets."""

    def device_features(self) -> u64:
        """What the device offers."""
        return 0

    def set_driver_features(self, features: u64) -> None:
        """What we take."""

    def queue_limit(self, index: u32) -> u32:
        """Most entries of a queue; 0 when there is no such queue."""
        return 0

    def start_queue(self, queue: VirtQueue) -> None:
        """Tell the device where a queue lies, and enable it."""

    def notify(self, queue: VirtQueue) -> None:
        """Tell the device that a queue has new chains."""

    def config8(self, offset: u32) -> u32:
        """A byte of the device's configuration."""
        return 0

    def config16(self, offset: u32) -> u32:
        """Two bytes of the device's configuration, little-endian; a transport may do it in one access."""
        return self.config8(offset) | self.config8(offset + 1) << 8

    def config32(self, offset: u32) -> u32:
        """Four bytes of the device's configuration."""
        return self.config16(offset) | self.config16(offset + 2) << 16

    def acknowledge(self) -> u32:
        """Why it interrupted (`Interrupt`), taking the interrupt back."""
        return Interrupt.QUEUE
