# SPDX-License-Identifier: Apache-2.0
"""The virtio 9P transport (device 9): one queue, one chain per message, request first, reply behind.

`lock` (IRQ) covers the queue and the table of requests with the device. Several requests are in flight at once;
when the ring is full, senders sleep on `room_wait`. The mount tag is read from the configuration: u16 length, bytes.
"""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel import log
from kaa.kernel.abi.virtio import NINEP_MOUNT_TAG, DeviceKind
from kaa.kernel.drivers.virtio.device import VirtioDevice, VirtioDriver, virtio_driver
from kaa.kernel.drivers.virtio.queue import NOTHING, VirtQueue
from kaa.kernel.fs.ninep.channel import Channel, channels
from kaa.kernel.fs.ninep.request import Request
from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.lang import Array, Atomic, Guarded, noinline, u8, u32, usize

QUEUE_SIZE = 128
TAG_MAX = 64


class VirtioChannel(Channel):
    """One device."""

    device: Final[VirtioDevice]
    queue: Guarded[VirtQueue, "lock"]
    longest: Final[u32]
    """Descriptors of the queue."""
    lock: Final[IrqSpinLock]
    by_head: Guarded[list[Request | None], "lock"]
    """The request whose chain starts with this descriptor."""
    finished: Guarded[Request | None, "lock"] = None
    """Requests without a waiter that are done."""
    any_finished: Atomic[bool]
    """Whether there are such: what every new request asks, without the lock."""
    room_wait: Final[WaitQueue]

    def __init__(self, tag: bytes, device: VirtioDevice, queue: VirtQueue) -> None:
        super().__init__(tag)
        self.device = device
        self.queue = queue
        self.longest = queue.size
        self.any_finished = Atomic(False)
        self.lock = IrqSpinLock("virtio-9p")
        self.room_wait = WaitQueue()
        self.by_head = []
        for _ in range(queue.size):
            self.by_head.append(None)

    def segment_limit(self) -> u32:
        return self.longest

    def submit(self, request: Request) -> None:
        while not self.try_submit(request):
            self.room_wait.wait_until(lambda: self.may_submit(request))

    @noinline
    def may_submit(self, request: Request) -> bool:
        """Whether `try_submit` would do something."""
        with self.lock:
            return self.queue.broken or self.queue.room() >= request.segment_count

    def try_submit(self, request: Request) -> bool:
        """Put the request into the ring; False when there is no room now. A broken device fails it at once."""
        with self.lock:
            if self.queue.broken:
                self.finish(request, 0)
                return True
            if self.queue.room() < request.segment_count:
                return False
            head = self.queue.add(request.segments[: request.segment_count], usize(request.outputs))
            self.by_head[head] = request
            self.device.kick(self.queue)
        return True

    def finish(self, request: Request, written: u32) -> None:
        """Hand a request back: to its waiter, or to the list of those that have none. `lock` is held."""
        if request.unattended:
            request.next = self.finished
            self.finished = request
            self.any_finished.store_relaxed(True)
        elif self.queue.broken:
            request.abort()
        else:
            request.complete(written)

    def collect(self) -> Request | None:
        if not self.any_finished.load_relaxed():
            return None
        with self.lock:
            request = self.take_finished()
        return request

    def take_finished(self) -> Request | None:
        """One of those without a waiter. `lock` is held."""
        request = self.finished
        if request is not None:
            self.finished = request.next
            self.any_finished.store_relaxed(request.next is not None)
            request.next = None
        return request

    def reap(self) -> None:
        """Take what the device has used. Runs in the interrupt."""
        with self.lock:
            while True:
                head, written = self.queue.take()
                if head == NOTHING:
                    break
                request = self.by_head[usize(head)]
                self.by_head[usize(head)] = None
                if request is not None:
                    self.finish(request, written)
            if self.queue.broken:
                self.fail_all()
        self.room_wait.wake_all()

    def fail_all(self) -> None:
        """The device lied: no request will ever be answered. `lock` is held."""
        for head in range(self.queue.size):
            request = self.by_head[head]
            if request is not None:
                self.by_head[head] = None
                self.finish(request, 0)


class NinepDriver(VirtioDriver):
    """The device's interrupts."""

    channel: Final[VirtioChannel]

    def __init__(self, channel: VirtioChannel) -> None:
        super().__init__()
        self.channel = channel

    def interrupt(self) -> None:
        self.channel.reap()


@virtio_driver(DeviceKind.NINEP, NINEP_MOUNT_TAG)
def probe(device: VirtioDevice) -> VirtioDriver:
    """Read the tag, start the queue, offer the channel to mount(2)."""
    length = min(device.transport.config16(0), TAG_MAX)
    if not device.has(NINEP_MOUNT_TAG) or length == 0:
        raise OSError(errno.ENODEV)
    tag = Array[u8, TAG_MAX]()
    for index in range(length):
        tag[index] = u8(device.transport.config8(2 + index))
    queue = device.queue(0, QUEUE_SIZE)
    channel = VirtioChannel(bytes(tag[:length]), device, queue)
    driver = NinepDriver(channel)
    channels.all.append(channel)
    device.start()
    log.info(f"virtio-9p: mount tag {channel.tag}")
    return driver
