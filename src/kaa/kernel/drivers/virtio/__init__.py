# SPDX-License-Identifier: Apache-2.0
"""Virtio devices (OASIS virtio 1.2): console, 9P, entropy, over MMIO and PCI.

A transport (`mmio`, `pci`) finds a device, makes a `VirtioDevice` of it and gives it to `device.attach`, which
negotiates features with the driver that `@virtio_driver(kind, features)` registered for its kind. Drivers talk to the
device through `VirtQueue`s. Interrupts call `VirtioDriver.interrupt`, which wakes threads.

A device is not trusted: what it writes to a used ring is checked against private records (queue.py); a device that
lies is marked broken and its requests fail with EIO.

Locks: each driver's own IrqSpinLock covers its queues, since interrupts use them.
"""

from __future__ import annotations
