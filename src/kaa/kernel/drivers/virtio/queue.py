# SPDX-License-Identifier: Apache-2.0
"""A split virtqueue (virtio 1.2 §2.7): descriptors, the ring we offer, the ring the device uses.

Everything that decides what memory we touch is kept in private arrays beside the shared rings: which chains are with
the device, how their descriptors are linked, how many bytes the device may have written. A used element that does not
fit these records marks the queue `broken`; nothing is ever taken from it again.

A queue is part of its driver, whose lock covers each call. Uses raw addresses because the rings are shared with a
device.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.abi.virtio import NO_INTERRUPT, NO_NOTIFY, Descriptor, DescriptorFlag, UsedElement
from kaa.kernel.drivers.virtio.dma import Segment
from kaa.lang import Slice, i64, part, u16, u32, u64, usize, wrapping_add
from kaa.lang.unsafe import Ptr, compiler_barrier, fence, volatile_load, volatile_store

NOTHING = -1
"""What `take` gives when the device has used no (further) chain."""


def ring_bytes(size: u32, used_align: u64) -> u64:
    """Bytes of memory that a queue of `size` entries takes."""
    return used_offset(size, used_align) + 6 + 8 * u64(size)


def used_offset(size: u32, used_align: u64) -> u64:
    """Where the used ring starts: behind 16 bytes per descriptor and the available ring, aligned."""
    end = 16 * u64(size) + 6 + 2 * u64(size)
    return (end + used_align - 1) // used_align * used_align


@part
class VirtQueue:
    """One queue. `memory` (physical and direct-map address) is zeroed, and lives as long as the device."""

    index: Final[u32]
    size: Final[u32]
    descriptors_physical: Final[u64]
    available_physical: Final[u64]
    used_physical: Final[u64]
    descriptors: Ptr[Descriptor]
    available: Ptr[u16]
    used: Ptr[u16]
    used_elements: Ptr[UsedElement]
    links: list[u16]
    """Next descriptor of a chain or of the free list, by descriptor."""
    counts: list[u16]
    """Descriptors in the chain that starts here, 0 when no chain with the device starts here."""
    writable: list[u32]
    """Bytes the device may write into the chain that starts here."""
    free_first: u32 = 0
    free_count: u32
    available_index: u16 = 0
    used_index: u16 = 0
    broken: bool = False
    doorbell: u64 = 0
    """Where the PCI transport tells the device of this queue."""

    def __init__(self, index: u32, size: u32, physical: u64, address: u64, used_align: u64) -> None:
        self.index = index
        self.size = size
        self.descriptors_physical = physical
        self.available_physical = physical + 16 * u64(size)
        self.used_physical = physical + used_offset(size, used_align)
        self.descriptors = Ptr[Descriptor](address)
        self.available = Ptr[u16](address + 16 * u64(size))
        self.used = Ptr[u16](address + used_offset(size, used_align))
        self.used_elements = Ptr[UsedElement](address + used_offset(size, used_align) + 4)
        self.links = []
        self.counts = []
        self.writable = []
        self.free_count = size
        for number in range(size):
            self.links.append(u16(number + 1))
            self.counts.append(0)
            self.writable.append(0)

    def room(self) -> u32:
        """Descriptors that are free; none in a broken queue."""
        return 0 if self.broken else self.free_count

    def add(self, segments: Slice[Segment], outputs: usize) -> u32:
        """Offer a chain: the first `outputs` segments are read by the device, the others written. Gives its head.

        There must be room for it. The device sees it at once; `notify_wanted` says whether it must be told.
        """
        count = len(segments)
        assert 0 < count <= self.free_count
        head = self.free_first
        current = head
        capacity: u32 = 0
        for number in range(count):
            descriptor = self.descriptors[current]
            descriptor.address = segments[number].address
            descriptor.length = segments[number].length
            flags: u32 = DescriptorFlag.NEXT if number + 1 < count else 0
            if number >= outputs:
                flags |= DescriptorFlag.WRITE
                capacity += segments[number].length
            following = u32(self.links[current])
            descriptor.flags = u16(flags)
            descriptor.next = u16(following)
            current = following
        self.free_first = current
        self.free_count -= u32(count)
        self.counts[head] = u16(count)
        self.writable[head] = capacity
        self._publish(u16(head))
        return head

    def _publish(self, head: u16) -> None:
        self.available[2 + self.available_index % u16(self.size)] = head
        compiler_barrier()
        self.available_index = wrapping_add(self.available_index, u16(1))
        volatile_store(self.available + 1, self.available_index)

    def notify_wanted(self) -> bool:
        """Whether the device asks to be told of what was added (§2.7.10)."""
        fence()
        return volatile_load(self.used) & NO_NOTIFY == 0

    def take(self) -> tuple[i64, u32]:
        """A chain that the device has used: its head, or NOTHING, and how many bytes it wrote."""
        if self.broken or volatile_load(self.used + 1) == self.used_index:
            return NOTHING, 0
        fence()
        element = self.used_elements[self.used_index % u16(self.size)]
        head = element.id
        length = element.length
        if head >= self.size or self.counts[head] == 0:
            self.broken = True
            return NOTHING, 0
        self.used_index = wrapping_add(self.used_index, u16(1))
        written = min(length, self.writable[head])
        self._release(head)
        return i64(head), written

    def has_used(self) -> bool:
        """Whether `take` would give a chain (or find the device lying)."""
        return not self.broken and volatile_load(self.used + 1) != self.used_index

    def _release(self, head: u32) -> None:
        """Put a chain's descriptors back on the free list."""
        count = u32(self.counts[head])
        last = head
        for _ in range(count - 1):
            last = u32(self.links[last])
        self.links[last] = u16(self.free_first)
        self.free_first = head
        self.free_count += count
        self.counts[head] = 0

    def outstanding(self) -> bool:
        """Whether chains are with the device."""
        return self.free_count != self.size

    def interrupts_off(self) -> None:
        """Ask the device for no interrupts of this queue; it may send some all the same."""
        volatile_store(self.available, u16(NO_INTERRUPT))

    def interrupts_on(self) -> bool:
        """Ask for interrupts again; True when the device has used chains meanwhile, which must then be taken."""
        volatile_store(self.available, u16(0))
        fence()
        return volatile_load(self.used + 1) != self.used_index
