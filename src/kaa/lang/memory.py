# SPDX-License-Identifier: Apache-2.0
"""The simulated memory that kaa.lang.unsafe works on under CPython: one sparse 64-bit address space.

A `Buffer` is some bytes plus the Python objects that stand at offsets in them (references have no bytes under CPython).
`Memory` maps pages to buffers: anonymous pages appear zeroed at first touch, and the buffer of a local struct or array
gets an address, on pages of its own, when someone asks for it.
"""

from __future__ import annotations

from typing import Protocol

PAGE_SIZE = 4096
SLOT_SIZE = 8
_OCCUPIED = (0xFFFF_8BAD_0B7E_C700).to_bytes(8, "little")
"""The bytes of a slot that holds an object: not null, and no address that anything could be at."""


class Storage(Protocol):
    """Bytes and objects at offsets."""

    def read(self, offset: int, size: int) -> bytes: ...
    def write(self, offset: int, data: bytes) -> None: ...
    def load_object(self, offset: int) -> object: ...
    def store_object(self, offset: int, value: object) -> None: ...
    def objects_in(self, offset: int, size: int) -> dict[int, object]: ...
    def address(self, offset: int) -> int: ...


class Buffer:
    """Bytes that belong to one struct, array or page."""

    def __init__(self, data: bytearray) -> None:
        self.data = data
        self.objects: dict[int, object] = {}
        self.base = 0

    def read(self, offset: int, size: int) -> bytes:
        assert 0 <= offset and offset + size <= len(self.data), "access beyond the end of a buffer"
        return bytes(self.data[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        assert 0 <= offset and offset + len(data) <= len(self.data), "access beyond the end of a buffer"
        self.data[offset : offset + len(data)] = data
        if self.objects:
            span = range(offset - SLOT_SIZE + 1, offset + len(data))
            for at in span if len(span) < len(self.objects) else list(self.objects):
                if at in span:
                    self.objects.pop(at, None)

    def load_object(self, offset: int) -> object:
        return self.objects.get(offset)

    def store_object(self, offset: int, value: object) -> None:
        self.write(offset, bytes(SLOT_SIZE) if value is None else _OCCUPIED)
        if value is not None:
            self.objects[offset] = value

    def objects_in(self, offset: int, size: int) -> dict[int, object]:
        if not self.objects:
            return {}
        return {at - offset: held for at, held in self.objects.items() if offset <= at < offset + size}

    def address(self, offset: int) -> int:
        if not self.base:
            memory.map(self)
        return self.base + offset


class Memory:
    """The address space."""

    FIRST_HEAP_ADDRESS = 0x10000
    FIRST_MAPPED_ADDRESS = 0x5000_0000_0000

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: for tests."""
        self.pages: dict[int, Buffer] = {}
        self.live: dict[int, int] = {}
        self.fail_after = -1
        self.next_heap = self.FIRST_HEAP_ADDRESS
        self.next_mapped = self.FIRST_MAPPED_ADDRESS

    def buffer_at(self, address: int) -> tuple[Buffer, int]:
        """The buffer that holds an address, and the offset in it."""
        page = address >> 12
        assert 0 < page < 1 << 52, f"access to address {address:#x}"
        found = self.pages.get(page)
        if found is None:
            found = self.pages[page] = Buffer(bytearray(PAGE_SIZE))
            found.base = page << 12
        return found, address - found.base

    def _parts(self, address: int, size: int) -> list[tuple[Buffer, int, int]]:
        """(buffer, offset, length) for each buffer that a range touches."""
        parts: list[tuple[Buffer, int, int]] = []
        while size > 0:
            buffer, offset = self.buffer_at(address)
            step = min(size, len(buffer.data) - offset)
            assert step > 0, f"access to address {address:#x}, beyond the end of a buffer"
            parts.append((buffer, offset, step))
            address, size = address + step, size - step
        return parts

    def read(self, offset: int, size: int) -> bytes:
        return b"".join(buffer.read(at, step) for buffer, at, step in self._parts(offset, size))

    def write(self, offset: int, data: bytes) -> None:
        done = 0
        for buffer, at, step in self._parts(offset, len(data)):
            buffer.write(at, data[done : done + step])
            done += step

    def load_object(self, offset: int) -> object:
        buffer, at = self.buffer_at(offset)
        return buffer.load_object(at)

    def store_object(self, offset: int, value: object) -> None:
        buffer, at = self.buffer_at(offset)
        buffer.store_object(at, value)

    def objects_in(self, offset: int, size: int) -> dict[int, object]:
        held: dict[int, object] = {}
        start = 0
        for buffer, at, step in self._parts(offset, size):
            held.update({start + where: value for where, value in buffer.objects_in(at, step).items()})
            start += step
        return held

    def address(self, offset: int) -> int:
        return offset

    def map(self, buffer: Buffer) -> None:
        """Give a buffer an address on pages of its own."""
        buffer.base = self.next_mapped
        pages = max(1, -(-len(buffer.data) // PAGE_SIZE))
        for number in range(pages):
            self.pages[(buffer.base >> 12) + number] = buffer
        self.next_mapped += (pages + 1) * PAGE_SIZE

    def allocate(self, size: int) -> int:
        """A zeroed raw buffer, aligned to 16 bytes. Raises MemoryError when a test asked for it."""
        if self.fail_after == 0:
            raise MemoryError
        self.fail_after -= self.fail_after > 0
        address = self.next_heap
        self.next_heap += (size + 31) & ~15
        self.live[address] = size
        return address

    def release(self, address: int, size: int) -> None:
        assert self.live.pop(address, None) == size, f"release({address:#x}, {size}): no such buffer"
        self.write(address, bytes(size))


def copy(to: Storage, offset: int, source: Storage, source_offset: int, size: int) -> None:
    """Copy bytes, and the objects that stand in them; the ranges may overlap."""
    data = source.read(source_offset, size)
    held = source.objects_in(source_offset, size)
    to.write(offset, data)
    for at, value in held.items():
        to.store_object(offset + at, value)


memory = Memory()
