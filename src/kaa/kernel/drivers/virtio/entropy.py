# SPDX-License-Identifier: Apache-2.0
"""The virtio entropy device (virtio 1.2 §5.4): seeds the kernel's generator, and /dev/hwrng.

One buffer, with the device or with us. At the start, and whenever /dev/hwrng has used a buffer up, the device is asked
for more. `lock` (mutex) makes readers take turns; `queue_lock` (interrupts off) covers the queue and the words about
the buffer, which the interrupt changes only while the device has it.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.virtio import DeviceKind
from kaa.kernel.arch import machine
from kaa.kernel.drivers.char import registry
from kaa.kernel.drivers.virtio.device import VirtioDevice, VirtioDriver, virtio_driver
from kaa.kernel.drivers.virtio.dma import DmaBuffer, Segment
from kaa.kernel.drivers.virtio.queue import NOTHING, VirtQueue
from kaa.kernel.fs.file import File
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.lang import Array, Bytes, Guarded, noinline, u32, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.path import Path
    from kaa.kernel.mm.user import UserBuf

MISC_MAJOR = 10
HWRNG_MINOR = 183
SEED_SIZE = 64
BUFFER_SIZE = 256
PATIENCE = 100_000_000
"""ns that boot waits for the seed."""


class Entropy(VirtioDriver):
    """One device."""

    device: Final[VirtioDevice]
    queue: Guarded[VirtQueue, "queue_lock"]
    buffer: Final[DmaBuffer]
    lock: Final[Mutex]
    queue_lock: Final[IrqSpinLock]
    wait: Final[WaitQueue]
    filled: Guarded[usize, "queue_lock"] = 0
    used: Guarded[usize, "queue_lock"] = 0
    asked: Guarded[bool, "queue_lock"] = False

    def __init__(self, device: VirtioDevice) -> None:
        super().__init__()
        self.device = device
        self.queue = device.queue(0, 8)
        self.buffer = DmaBuffer(0)
        self.lock = Mutex("hwrng")
        self.queue_lock = IrqSpinLock("virtio-rng")
        self.wait = WaitQueue()

    def ask(self) -> None:
        """Give the device the buffer, unless it has it."""
        segment = Array[Segment, 1]()
        segment[0].address = self.buffer.physical()
        segment[0].length = BUFFER_SIZE
        with self.queue_lock:
            if not self.asked and self.queue.room() > 0:
                self.asked = True
                self.queue.add(segment[:], 0)
                self.device.kick(self.queue)

    def interrupt(self) -> None:
        self.reap()

    def reap(self) -> None:
        """Take the buffer back, if the device has filled it."""
        with self.queue_lock:
            head, written = self.queue.take()
            if head != NOTHING:
                self.asked = False
                self.filled = usize(written)
                self.used = 0
        self.wait.wake_all()

    @noinline
    def ready(self) -> bool:
        """Whether there are bytes, or never will be."""
        with self.queue_lock:
            return (not self.asked and self.used < self.filled) or self.queue.broken

    @noinline
    def is_broken(self) -> bool:
        """Whether the device lied, and gives no more bytes."""
        with self.queue_lock:
            return self.queue.broken

    def peek(self, limit: usize) -> Bytes:
        """Bytes not yet handed out, at most `limit`; for the holder of `lock`."""
        with self.queue_lock:
            count = usize(0) if self.asked else min(limit, self.filled - self.used)
            start = self.used
        return self.buffer.bytes()[start : start + count]

    @noinline
    def hand_out(self, count: usize) -> None:
        """`count` of the bytes that `peek` showed are used; for the holder of `lock`."""
        with self.queue_lock:
            self.used += count


class Devices:
    """The device that /dev/hwrng reads."""

    first: Entropy | None = None


devices = Devices()


class HwrngFile(File):
    """An open /dev/hwrng."""

    def read(self, buf: UserBuf) -> usize:
        entropy = devices.first
        if entropy is None or buf.remaining() == 0:
            return 0
        done: usize = 0
        while done == 0:
            self.wait_filled(entropy)
            done = hand_out(entropy, buf)
        return done

    def wait_filled(self, entropy: Entropy) -> None:
        """Sleep until there are bytes. Raises BlockingIOError, Restart, OSError(EIO) when the device is broken."""
        if not entropy.ready():
            entropy.ask()
            if self.nonblocking():
                raise BlockingIOError
            entropy.wait.wait_interruptible(lambda: entropy.ready())
        if entropy.is_broken():
            raise OSError(errno.EIO)


def hand_out(entropy: Entropy, buf: UserBuf) -> usize:
    """Copy bytes that nobody has had to the caller; how many. 0 when another reader was faster."""
    with entropy.lock:
        data = entropy.peek(buf.remaining())
        buf.copy_out(data)
        entropy.hand_out(usize(len(data)))
        return usize(len(data))


def open_hwrng(flags: u32, path: Path) -> File:
    """open(2) of /dev/hwrng."""
    return HwrngFile(path, flags)


@virtio_driver(DeviceKind.ENTROPY, 0)
def probe(device: VirtioDevice) -> VirtioDriver:
    """Start the device and seed the kernel's generator with its first bytes, if they come soon."""
    entropy = Entropy(device)
    device.start()
    entropy.ask()
    deadline = machine.clock.monotonic_ns() + PATIENCE
    while not entropy.ready() and machine.clock.monotonic_ns() < deadline:
        entropy.reap()
    seed(entropy)
    if devices.first is None:
        devices.first = entropy
        registry.register(MISC_MAJOR, HWRNG_MINOR, b"hwrng", open_hwrng, 0o600)
    return entropy


def seed(entropy: Entropy) -> None:
    """Stir what is there into the kernel's generator; the bytes are not handed out again."""
    from kaa.kernel.lib import random

    data = entropy.peek(SEED_SIZE)
    random.mix(data)
    entropy.hand_out(usize(len(data)))
