# SPDX-License-Identifier: Apache-2.0
"""The control queues of a virtio console (virtio 1.2 §5.3.6.2): short messages about ports, both ways.

One page each way, cut into slots: a slot per descriptor, so that nothing is allocated later. `lock` (IRQ) covers both
queues.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel import log
from kaa.kernel.abi.virtio import ConsoleControl
from kaa.kernel.arch import machine
from kaa.kernel.drivers.virtio.device import VirtioDevice
from kaa.kernel.drivers.virtio.dma import DmaBuffer, Segment
from kaa.kernel.drivers.virtio.queue import NOTHING, VirtQueue
from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.kernel.sched import core
from kaa.lang import Array, Bytes, Guarded, as_bytes, i64, noinline, u16, u32, u64, usize

RECEIVE_QUEUE = 2
SEND_QUEUE = 3
QUEUE_SIZE = 16
RECEIVE_SLOT = 256
SEND_SLOT = 8
HEADER = 8
NO_SLOT = -1
PATIENCE = 1_000_000_000
"""ns that `send` waits for the device to make room."""


class ControlQueues:
    """Both control queues of a device."""

    device: Final[VirtioDevice]
    receive_queue: Guarded[VirtQueue, "lock"]
    send_queue: Guarded[VirtQueue, "lock"]
    received: Final[DmaBuffer]
    sent: Final[DmaBuffer]
    lock: Final[IrqSpinLock]
    wait: Final[WaitQueue]
    slot_of: Guarded[Array[u32, QUEUE_SIZE], "lock"]
    """Receive slot by head."""
    lengths: Guarded[Array[u32, QUEUE_SIZE], "lock"]
    """Bytes of the message in each receive slot."""

    def __init__(self, device: VirtioDevice) -> None:
        self.device = device
        self.receive_queue = device.queue(RECEIVE_QUEUE, QUEUE_SIZE)
        self.send_queue = device.queue(SEND_QUEUE, QUEUE_SIZE)
        self.send_queue.interrupts_off()
        self.received = DmaBuffer(0)
        self.sent = DmaBuffer(0)
        self.lock = IrqSpinLock("virtio console control")
        self.wait = WaitQueue()
        self.slot_of = Array[u32, QUEUE_SIZE]()
        self.lengths = Array[u32, QUEUE_SIZE]()

    def start(self) -> None:
        """Give the device all receive slots."""
        with self.lock:
            slots = self.receive_queue.size
        for slot in range(slots):
            self.recycle(i64(slot))

    def recycle(self, slot: i64) -> None:
        """Give a receive slot (back) to the device."""
        segment = Array[Segment, 1]()
        segment[0].address = self.received.physical() + u64(slot) * RECEIVE_SLOT
        segment[0].length = RECEIVE_SLOT
        with self.lock:
            if self.receive_queue.room() > 0:
                self.slot_of[self.receive_queue.add(segment[:], 0)] = u32(slot)
                self.device.kick(self.receive_queue)

    @noinline
    def has_message(self) -> bool:
        """Whether the device has used a receive slot."""
        with self.lock:
            return self.receive_queue.has_used()

    def take(self) -> i64:
        """The slot of the next message, or NO_SLOT. Messages too short to have a header are dropped."""
        while True:
            with self.lock:
                head, written = self.receive_queue.take()
                if head == NOTHING:
                    return NO_SLOT
                slot = self.slot_of[usize(head)]
                self.lengths[slot] = written
            if written >= HEADER:
                return i64(slot)
            self.recycle(i64(slot))

    def header(self, slot: i64) -> ConsoleControl:
        """A copy of a message's fixed part, so that the device cannot change it while we look."""
        start = usize(slot) * RECEIVE_SLOT
        result = ConsoleControl()
        as_bytes(result).copy_from(self.received.bytes()[start : start + HEADER])
        return result

    def text(self, slot: i64) -> Bytes:
        """What follows the fixed part."""
        start = usize(slot) * RECEIVE_SLOT
        with self.lock:
            length = min(usize(self.lengths[usize(slot)]), usize(RECEIVE_SLOT))
        return self.received.bytes()[start + HEADER : start + length]

    def send(self, port: u32, event: u32, value: u32) -> None:
        """Send a message; when the device takes none for PATIENCE it is dropped, and the log says so."""
        deadline = machine.clock.monotonic_ns() + PATIENCE
        while not self.try_send(port, event, value):
            if self.is_broken() or machine.clock.monotonic_ns() > deadline:
                log.error(f"virtio-console: event {event} for port {port} is not taken")
                return
            core.yield_now()

    @noinline
    def is_broken(self) -> bool:
        """Whether nothing can be sent any more."""
        with self.lock:
            return self.send_queue.broken

    def try_send(self, port: u32, event: u32, value: u32) -> bool:
        """Send a message if there is room. One at a time: they are rare."""
        message = ConsoleControl(port, u16(event), u16(value))
        segment = Array[Segment, 1]()
        with self.lock:
            while self.send_queue.take()[0] != NOTHING:
                pass
            if self.send_queue.outstanding():
                return False
            self.sent.bytes()[0:SEND_SLOT].copy_from(as_bytes(message))
            segment[0].address = self.sent.physical()
            segment[0].length = SEND_SLOT
            self.send_queue.add(segment[:], 1)
            self.device.kick(self.send_queue)
        return True
