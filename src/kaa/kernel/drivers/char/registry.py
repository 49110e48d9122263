# SPDX-License-Identifier: Apache-2.0
"""Which character devices there are: number, name, how one is opened. devtmpfs shows them, mknod(2)'s nodes find them
here.

Drivers register at import or when hardware is found; nothing is ever taken out. Lock: `lock`, a mutex, for the list.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.stat import S_IFCHR, device_major, device_minor, make_device
from kaa.kernel.locking.mutex import Mutex
from kaa.lang import Guarded, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.path import Path


class CharDevice:
    """One device number with its name in /dev ("null", "virtio-ports/kaa.stdin")."""

    number: Final[u64]
    name: Final[bytes]
    mode: Final[u32]
    open: Final[Callable[[u32, Path], File]]
    link: Final[bytes | None]
    """Not a device but a symbolic link of this target, as udev would make."""

    def __init__(
        self, number: u64, name: bytes, mode: u32, open_: Callable[[u32, Path], File], link: bytes | None
    ) -> None:
        self.number = number
        self.name = name
        self.mode = mode
        self.open = open_
        self.link = link


class Registry:
    """All character devices."""

    lock: Final[Mutex]
    devices: Guarded[list[CharDevice], "lock"]
    tell: Callable[[], None] | None = None
    """Called after one more came; set at import (devtmpfs)."""

    def __init__(self) -> None:
        self.lock = Mutex("character devices")
        self.devices = []

    def add(self, device: CharDevice) -> None:
        """One more. Raises MemoryError."""
        with self.lock:
            self.devices.append(device)
        tell = self.tell
        if tell is not None:
            tell()

    def count(self) -> usize:
        """How many there are, so that a mounted devtmpfs knows when to look again."""
        with self.lock:
            return len(self.devices)

    def at(self, index: usize) -> CharDevice:
        """In order of registration."""
        with self.lock:
            return self.devices[index]

    def first_of_each_major(self) -> list[CharDevice]:
        """One device of each major number, in order of registration (links are none). Raises MemoryError."""
        found: list[CharDevice] = []
        with self.lock:
            for device in self.devices:
                if device.link is None and not any(major(one) == major(device) for one in found):
                    found.append(device)
        return found

    def by_number(self, number: u64) -> CharDevice:
        """Raises OSError(ENXIO) when no driver has it, as open(2) does."""
        with self.lock:
            for device in self.devices:
                if device.number == number and device.link is None:
                    return device
        raise OSError(errno.ENXIO)


registry = Registry()


def _no_device(flags: u32, path: Path) -> File:
    raise OSError(errno.ENXIO)


def register(major: u32, minor: u32, name: bytes, open_: Callable[[u32, Path], File], mode: u32 = 0o600) -> None:
    """Announce a device: from now on /dev/`name` opens through `open_(flags, path)`."""
    registry.add(CharDevice(make_device(major, minor), name, S_IFCHR | mode, open_, None))


def alias(name: bytes, target: bytes) -> None:
    """Announce /dev/`name` as a symbolic link to `target` (relative to where it stands)."""
    registry.add(CharDevice(0, name, 0o120777, _no_device, target))


def open_device(rdev: u64, flags: u32, path: Path) -> File:
    """Open the device of an inode with st_rdev `rdev`. Raises OSError(ENXIO)."""
    return registry.by_number(rdev).open(flags, path)


def major(device: CharDevice) -> u32:
    """For /proc/devices."""
    return device_major(device.number)


def minor(device: CharDevice) -> u32:
    """For /proc/devices."""
    return device_minor(device.number)
