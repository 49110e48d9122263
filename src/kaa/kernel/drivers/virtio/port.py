# SPDX-License-Identifier: Apache-2.0
"""One port of a virtio console (virtio 1.2 §5.3): a byte stream each way, over two queues.

Receiving: a few page-sized buffers are with the device from the first open on; those it has filled wait in order until
they are read, then go back. So the host feels it when nobody reads. Sending: a write is copied into a buffer of up
to 32 KiB and is then the device's; up to eight are in flight. Buffers are made when first needed and kept.

`lock` (IRQ) covers queues and lists. `read_turn` (mutex) is held while received bytes are copied out, which may sleep.
The host's end being closed is end of file once everything received was read, and EPIPE for writers.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.drivers.virtio.device import VirtioDevice
from kaa.kernel.drivers.virtio.dma import DmaBuffer, Segment
from kaa.kernel.drivers.virtio.queue import NOTHING, VirtQueue
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.lang import Array, Atomic, Bytes, Guarded, Relaxed, Slice, noinline, part, recursive, u8, u32, usize

PAGE_SIZE = 4096
RECEIVE_BUFFERS = 8
SMALL = 0
LARGE = 1
LARGE_ORDER = 3
SEND_BUFFERS = 4
"""Of each size."""


@part
class PortBuffer:
    """A buffer of a port, with the device, in a list, or being filled. One that is in no list belongs to whoever took
    it out; the oldest of the received ones to the holder of `read_turn`."""

    memory: Final[DmaBuffer]
    size_class: Final[u32]
    used: usize = 0
    """Bytes in it."""
    taken: usize = 0
    """Of these, already read."""
    next: PortBuffer | None = None

    def __init__(self, order: u32, size_class: u32) -> None:
        self.memory = DmaBuffer(order)
        self.size_class = size_class


class Port:
    """One port."""

    number: Final[u32]
    device: Final[VirtioDevice]
    receive_queue: Guarded[VirtQueue, "lock"]
    send_queue: Guarded[VirtQueue, "lock"]
    lock: Final[IrqSpinLock]
    read_turn: Final[Mutex]
    read_wait: Final[WaitQueue]
    write_wait: Final[WaitQueue]
    receiving: Guarded[list[PortBuffer | None], "lock"]
    """By head of the receive queue."""
    sending: Guarded[list[PortBuffer | None], "lock"]
    """By head of the send queue."""
    first: Guarded[PortBuffer | None, "lock"] = None
    last: Guarded[PortBuffer | None, "lock"] = None
    """Received and unread, oldest first."""
    free_send: Guarded[Array[PortBuffer | None, 2], "lock"]
    made_send: Guarded[Array[u32, 2], "lock"]
    receive_started: Guarded[bool, "Console.lock"] = False
    receive_limit: Final[u32]
    """Buffers that the receive queue takes."""
    announced: Atomic[bool]
    """The host told of it: the interrupt looks at its queues."""
    is_console: Atomic[bool]
    """A terminal sits on it."""
    host_open: Guarded[Relaxed[bool], "lock"] = False
    was_open: Guarded[bool, "lock"] = False
    opens: Guarded[u32, "Console.lock"] = 0

    def __init__(self, number: u32, device: VirtioDevice, receive_queue: VirtQueue, send_queue: VirtQueue) -> None:
        self.number = number
        self.device = device
        self.receive_queue = receive_queue
        self.send_queue = send_queue
        self.lock = IrqSpinLock("virtio port")
        self.read_turn = Mutex("virtio port reader")
        self.read_wait = WaitQueue()
        self.write_wait = WaitQueue()
        self.receive_limit = receive_queue.size
        self.receiving = []
        self.sending = []
        for _ in range(receive_queue.size):
            self.receiving.append(None)
        for _ in range(send_queue.size):
            self.sending.append(None)
        self.free_send = Array[PortBuffer | None, 2]()
        self.made_send = Array[u32, 2]()
        self.announced = Atomic(False)
        self.is_console = Atomic(False)
        send_queue.interrupts_off()

    # Receiving.

    def start_receiving(self) -> None:
        """Give the device its first buffers. Raises MemoryError when there is not even one."""
        if self.receive_started:
            return
        for number in range(min(u32(RECEIVE_BUFFERS), self.receive_limit)):
            try:
                buffer = PortBuffer(0, SMALL)
            except MemoryError:
                if number == 0:
                    raise
                break
            self.offer_first(buffer)
        with self.lock:
            self.device.kick(self.receive_queue)
        self.receive_started = True

    def offer_first(self, buffer: PortBuffer) -> None:
        """As `offer`, taking the lock."""
        with self.lock:
            self.offer(buffer)

    def offer(self, buffer: PortBuffer) -> None:
        """Give a buffer to the device to fill. `lock` is held."""
        if self.receive_queue.room() == 0:
            return
        buffer.used = 0
        buffer.taken = 0
        segment = Array[Segment, 1]()
        segment[0].address = buffer.memory.physical()
        segment[0].length = PAGE_SIZE
        self.receiving[self.receive_queue.add(segment[:], 0)] = buffer

    def reap(self) -> None:
        """Take what the device has used in both queues. Runs in the interrupt, and in the console's thread."""
        with self.lock:
            received = self.reap_received()
            sent = self.reap_sent()
        if received:
            self.read_wait.wake_all()
        if sent:
            self.write_wait.wake_all()

    def reap_received(self) -> bool:
        """Put filled buffers into the list of the unread. `lock` is held."""
        any_came = False
        while True:
            head, written = self.receive_queue.take()
            if head == NOTHING:
                return any_came
            buffer = self.receiving[usize(head)]
            self.receiving[usize(head)] = None
            assert buffer is not None
            buffer.used = usize(written)
            if written == 0:
                self.offer(buffer)
            else:
                self.append(buffer)
                any_came = True

    def append(self, buffer: PortBuffer) -> None:
        """A filled buffer goes to the end of the unread."""
        last = self.last
        if last is None:
            self.first = buffer
        else:
            last.next = buffer
        self.last = buffer

    @noinline
    def has_input(self) -> bool:
        """Whether there is something to read."""
        with self.lock:
            return self.first is not None

    def host_changed(self, is_open: bool) -> None:
        """The host's end was opened or closed."""
        with self.lock:
            self.host_open = is_open
            self.was_open = True
        self.read_wait.wake_all()
        self.write_wait.wake_all()

    @noinline
    def ended(self) -> bool:
        """Whether the host's end was open and is closed, or the device is broken."""
        with self.lock:
            return self.host_is_gone()

    def host_is_gone(self) -> bool:
        """As `ended`. `lock` is held."""
        return (self.was_open and not self.host_open) or self.receive_queue.broken

    def refuses(self) -> bool:
        """Whether nothing that is written will arrive."""
        with self.lock:
            return self.host_is_gone() or self.send_queue.broken

    @noinline
    def oldest(self) -> PortBuffer | None:
        """The buffer to read from; for the holder of `read_turn`."""
        with self.lock:
            buffer = self.first_received()
        return buffer

    def first_received(self) -> PortBuffer | None:
        """As `oldest`. `lock` is held."""
        return self.first

    def consume(self, buffer: PortBuffer, count: usize) -> None:
        """`count` bytes of the oldest buffer were read; an empty one goes back to the device."""
        with self.lock:
            buffer.taken += count
            if buffer.taken < buffer.used:
                return
            following = buffer.next
            self.first = following
            if following is None:
                self.last = None
            buffer.next = None
            self.offer(buffer)
            if following is None or self.receive_queue.free_count == 0:
                self.device.kick(self.receive_queue)

    # Sending.

    def reap_sent(self) -> bool:
        """Take back sent buffers. `lock` is held."""
        any_came = False
        while True:
            head, _ = self.send_queue.take()
            if head == NOTHING:
                return any_came
            buffer = self.sending[usize(head)]
            self.sending[usize(head)] = None
            assert buffer is not None
            buffer.next = self.free_send[buffer.size_class]
            self.free_send[buffer.size_class] = buffer
            any_came = True

    def send_buffer(self, wanted: usize) -> PortBuffer | None:
        """A buffer to fill, large if `wanted` asks for it; None when all are in flight. Raises MemoryError."""
        size_class: u32 = LARGE if wanted > PAGE_SIZE else SMALL
        with self.lock:
            buffer = self.take_free(size_class)
            if buffer is not None:
                return buffer
            if self.made_send[size_class] == SEND_BUFFERS:
                return None
            self.made_send[size_class] += 1
        return self.make_send_buffer(size_class)

    def take_free(self, size_class: u32) -> PortBuffer | None:
        """A buffer of this size that is not in flight. `lock` is held."""
        self.reap_sent()
        buffer = self.free_send[size_class]
        if buffer is not None:
            self.free_send[size_class] = buffer.next
            buffer.next = None
        return buffer

    @recursive(2, "only the large class asks again, and for a small one")
    def make_send_buffer(self, size_class: u32) -> PortBuffer | None:
        """Another buffer. Short of memory: a small one does, and none when there are others to wait for."""
        try:
            return PortBuffer(LARGE_ORDER if size_class == LARGE else 0, size_class)
        except MemoryError:
            with self.lock:
                self.made_send[size_class] -= 1
                others = self.made_send[SMALL] > 0
            if size_class == LARGE:
                return self.send_buffer(PAGE_SIZE)
            if others:
                return None
            raise

    def give_back(self, buffer: PortBuffer) -> None:
        """A buffer from `send_buffer` that is not sent after all."""
        with self.lock:
            buffer.next = self.free_send[buffer.size_class]
            self.free_send[buffer.size_class] = buffer
        self.write_wait.wake_all()

    def send(self, buffer: PortBuffer, count: usize) -> None:
        """Give the first `count` bytes of a buffer to the device. In a broken queue they are lost."""
        segment = Array[Segment, 1]()
        segment[0].address = buffer.memory.physical()
        segment[0].length = u32(count)
        with self.lock:
            if self.send_queue.room() == 0:
                buffer.next = self.free_send[buffer.size_class]
                self.free_send[buffer.size_class] = buffer
                return
            self.sending[self.send_queue.add(segment[:], 1)] = buffer
            self.device.kick(self.send_queue)

    @noinline
    def can_send(self) -> bool:
        """Whether a buffer is to be had; if not, asks for an interrupt when one is."""
        with self.lock:
            return self.find_free()

    @noinline
    def can_write(self) -> bool:
        """Whether the host's end is open and a buffer is to be had; if none is, asks for an interrupt."""
        with self.lock:
            return self.host_open and self.find_free()

    def find_free(self) -> bool:
        """As `can_send`. `lock` is held."""
        self.reap_sent()
        if self.any_free():
            return True
        if self.send_queue.interrupts_on():
            self.reap_sent()
        return self.any_free()

    def any_free(self) -> bool:
        """Whether `send_buffer` would give a small buffer. `lock` is held."""
        return self.free_send[SMALL] is not None or self.made_send[SMALL] < SEND_BUFFERS or self.send_queue.broken

    def sent_all(self) -> bool:
        """Whether everything written has reached the host; if not, asks for an interrupt."""
        with self.lock:
            self.reap_sent()
            if self.send_queue.interrupts_on():
                self.reap_sent()
            return not self.send_queue.outstanding() or self.send_queue.broken or not self.host_open

    def drain(self) -> None:
        """Sleep until everything written has reached the host, or its end is closed."""
        self.write_wait.wait_until(lambda: self.sent_all())

    def prepare_console(self) -> None:
        """Make the buffers for `put_now`, which cannot allocate. Raises MemoryError when there is not even one."""
        for number in range(SEND_BUFFERS):
            try:
                buffer = PortBuffer(0, SMALL)
            except MemoryError:
                if number == 0:
                    raise
                break
            self.give_back(buffer)
        with self.lock:
            self.made_send[SMALL] = SEND_BUFFERS

    def put_now(self, data: Bytes) -> usize:
        """Send up to a page of kernel bytes without sleeping or allocating; how many. Only after `prepare_console`."""
        with self.lock:
            buffer = self.take_free(SMALL)
        if buffer is None:
            return 0
        count = min(usize(len(data)), usize(PAGE_SIZE))
        contents(buffer)[:count].copy_from(data[:count])
        self.send(buffer, count)
        return count


def contents(buffer: PortBuffer) -> Slice[u8]:
    """All bytes of a buffer."""
    return buffer.memory.bytes()
