# SPDX-License-Identifier: Apache-2.0
"""Device registers and firmware memory, reached through windows: mapped once, every access checked against their size.

Drivers get at the physical world through this file only, apart from DMA rings (drivers/virtio/queue.py). Accesses are
single, of the width asked for, neither merged nor left out.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import paging
from kaa.lang import Bytes, inline, struct, u8, u16, u32, u64, usize
from kaa.lang.unsafe import Ptr, volatile_load, volatile_store

MEBIBYTE = 1 << 20


@struct
class Window:
    """`size` bytes of mapped device memory from kernel address `base` on; size 0: none."""

    base: u64 = 0
    size: u64 = 0

    def present(self) -> bool:
        """Whether there is something behind it."""
        return self.size != 0

    @inline
    def _at(self, offset: u64, width: u64) -> u64:
        assert self.size >= width and offset <= self.size - width
        return self.base + offset

    def read8(self, offset: u64) -> u8:
        """A byte register."""
        return volatile_load(Ptr[u8](self._at(offset, u64(1))))

    def read16(self, offset: u64) -> u16:
        """A 16-bit register."""
        return volatile_load(Ptr[u16](self._at(offset, u64(2))))

    def read32(self, offset: u64) -> u32:
        """A 32-bit register."""
        return volatile_load(Ptr[u32](self._at(offset, u64(4))))

    def write8(self, offset: u64, value: u8) -> None:
        """Write a byte register."""
        volatile_store(Ptr[u8](self._at(offset, u64(1))), value)

    def write16(self, offset: u64, value: u16) -> None:
        """Write a 16-bit register."""
        volatile_store(Ptr[u16](self._at(offset, u64(2))), value)

    def write32(self, offset: u64, value: u32) -> None:
        """Write a 32-bit register."""
        volatile_store(Ptr[u32](self._at(offset, u64(4))), value)


def open_window(physical: u64, size: u64) -> Window:
    """Map device registers, for ever. Raises MemoryError."""
    return Window(paging.map_device(physical, size), size)


def base_memory(physical: u64, size: usize) -> Bytes:
    """What firmware left below 1 MiB: the direct map has it."""
    assert physical <= MEBIBYTE and size <= MEBIBYTE - physical
    return Ptr[u8](paging.direct_map(physical)).slice(size)


def firmware_bytes(physical: u64, size: usize) -> Bytes:
    """Memory that firmware filled, mapped for ever. Raises MemoryError."""
    return Ptr[u8](paging.map_device(physical, size)).slice(size)
