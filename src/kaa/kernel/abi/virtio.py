# SPDX-License-Identifier: Apache-2.0
"""Numbers and structures of the OASIS standard "Virtual I/O Device (VIRTIO) Version 1.2".

Section numbers in this file are that document's. Every field is little-endian, which is the only byte order
of the machines that Kaa runs on.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from kaa.lang import struct, u16, u32, u64, width


class DeviceKind(IntEnum):
    """Device IDs, §5."""

    NONE = 0
    NETWORK = 1
    BLOCK = 2
    CONSOLE = 3
    ENTROPY = 4
    NINEP = 9


@width(u32)
class Status(IntFlag):
    """The device status field, §2.1."""

    ACKNOWLEDGE = 1
    DRIVER = 2
    DRIVER_OK = 4
    FEATURES_OK = 8
    NEEDS_RESET = 64
    FAILED = 128


class Feature(IntEnum):
    """Feature bits that every device kind shares, §6. The members are masks, not bit numbers."""

    INDIRECT_DESC = 1 << 28
    EVENT_IDX = 1 << 29
    VERSION_1 = 1 << 32


@struct
class Descriptor:
    """struct virtq_desc, §2.7.5: one piece of a buffer, `address` physical."""

    address: u64 = 0
    length: u32 = 0
    flags: u16 = 0
    next: u16 = 0


@width(u32)
class DescriptorFlag(IntFlag):
    """Descriptor.flags."""

    NEXT = 1
    WRITE = 2
    INDIRECT = 4


@struct
class UsedElement:
    """struct virtq_used_elem, §2.7.8: head of the chain, bytes the device wrote."""

    id: u32 = 0
    length: u32 = 0


NO_INTERRUPT = 1
"""Flag of the available ring, §2.7.7."""
NO_NOTIFY = 1
"""Flag of the used ring, §2.7.10."""


class Mmio(IntEnum):
    """Register offsets of the MMIO transport, §4.2.2; those marked legacy, §4.2.4."""

    MAGIC = 0x000
    VERSION = 0x004
    DEVICE_ID = 0x008
    DEVICE_FEATURES = 0x010
    DEVICE_FEATURES_SELECT = 0x014
    DRIVER_FEATURES = 0x020
    DRIVER_FEATURES_SELECT = 0x024
    LEGACY_GUEST_PAGE_SIZE = 0x028
    QUEUE_SELECT = 0x030
    QUEUE_SIZE_MAX = 0x034
    QUEUE_SIZE = 0x038
    LEGACY_QUEUE_ALIGN = 0x03C
    LEGACY_QUEUE_PFN = 0x040
    QUEUE_READY = 0x044
    QUEUE_NOTIFY = 0x050
    INTERRUPT_STATUS = 0x060
    INTERRUPT_ACKNOWLEDGE = 0x064
    STATUS = 0x070
    QUEUE_DESCRIPTORS = 0x080
    QUEUE_AVAILABLE = 0x090
    QUEUE_USED = 0x0A0
    CONFIG_GENERATION = 0x0FC
    CONFIG = 0x100


MMIO_MAGIC = 0x74726976
"""The letters "virt"."""


@width(u32)
class Interrupt(IntFlag):
    """Interrupt status, §4.2.2 and §4.1.4.5."""

    QUEUE = 1
    CONFIG = 2


class PciCapability(IntEnum):
    """cfg_type of struct virtio_pci_cap, §4.1.4."""

    COMMON = 1
    NOTIFY = 2
    ISR = 3
    DEVICE = 4


class PciCommon(IntEnum):
    """Offsets in struct virtio_pci_common_cfg, §4.1.4.3."""

    DEVICE_FEATURE_SELECT = 0x00
    DEVICE_FEATURE = 0x04
    DRIVER_FEATURE_SELECT = 0x08
    DRIVER_FEATURE = 0x0C
    CONFIG_MSIX_VECTOR = 0x10
    NUM_QUEUES = 0x12
    DEVICE_STATUS = 0x14
    CONFIG_GENERATION = 0x15
    QUEUE_SELECT = 0x16
    QUEUE_SIZE = 0x18
    QUEUE_MSIX_VECTOR = 0x1A
    QUEUE_ENABLE = 0x1C
    QUEUE_NOTIFY_OFF = 0x1E
    QUEUE_DESC = 0x20
    QUEUE_DRIVER = 0x28
    QUEUE_DEVICE = 0x30


class ConsoleFeature(IntEnum):
    """Feature masks of the console device, §5.3.3."""

    SIZE = 1
    MULTIPORT = 2
    EMERG_WRITE = 4


class ConsoleConfig(IntEnum):
    """Offsets in struct virtio_console_config, §5.3.4."""

    COLS = 0
    ROWS = 2
    MAX_PORTS = 4


class ConsoleEvent(IntEnum):
    """Events of the control queues, §5.3.6.2."""

    DEVICE_READY = 0
    DEVICE_ADD = 1
    DEVICE_REMOVE = 2
    PORT_READY = 3
    CONSOLE_PORT = 4
    RESIZE = 5
    PORT_OPEN = 6
    PORT_NAME = 7


@struct
class ConsoleControl:
    """struct virtio_console_control, §5.3.6.2."""

    id: u32 = 0
    event: u16 = 0
    value: u16 = 0


@struct
class ConsoleResize:
    """struct virtio_console_resize, §5.3.6.2."""

    cols: u16 = 0
    rows: u16 = 0


NINEP_MOUNT_TAG = 1
"""Feature mask of the 9P transport, §5.x (device 9): the configuration holds `u16 length` and the tag."""

