# SPDX-License-Identifier: Apache-2.0
"""The kernel's random number generator: ChaCha20 with fast key erasure (D. J. Bernstein, 2017), and getrandom(2).

Each refill makes two blocks: the first half-block replaces the key, so that what was given out cannot be computed
from a later state; the rest is given out, and wiped as it is. Seeds are mixed into the key: RDRAND, the time stamp
counter at boot, a host's virtio-rng, interrupt times (`mix`). `ready` is set with the first seed that deserves the
name.
"""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.arch.x86_64 import rdrand
from kaa.kernel.lib import chacha20
from kaa.kernel.lib.chacha20 import ChaChaState
from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.kernel.mm.user import UserBuf
from kaa.kernel.signal import has_pending
from kaa.lang import Array, Bytes, Guarded, Slice, as_bytes, u8, u32, u64, usize

GRND_NONBLOCK: Final = 1
GRND_RANDOM: Final = 2
GRND_INSECURE: Final = 4
POOL: Final = 96
"""Bytes of a refill that are given out: two blocks less the new key."""
KEY: Final = 32
BLOCK: Final = 64


class Generator:
    """One state for all; its lock is taken in interrupts too, when they mix in their times."""

    lock: Final[IrqSpinLock]
    state: Guarded[ChaChaState, "lock"]
    pool: Guarded[Array[u8, 128], "lock"]
    left: Guarded[usize, "lock"]
    ready: Guarded[bool, "lock"]
    mixed: Guarded[u64, "lock"]

    def __init__(self) -> None:
        self.lock = IrqSpinLock("random")
        self.state = ChaChaState()
        self.pool = Array[u8, 128]()
        self.left = 0
        self.ready = False
        self.mixed = 0
        chacha20.initialise(self.state)

    def refill(self) -> None:
        """Two blocks of key stream: a new key, and POOL bytes."""
        if self.mixed == 0:
            self._first_seed()
        out = ChaChaState()
        for part in range(2):
            chacha20.block(self.state, out)
            self.pool[part * BLOCK : part * BLOCK + BLOCK].copy_from(as_bytes(out)[0:BLOCK])
            self._step()
        as_bytes(self.state)[16 : 16 + KEY].copy_from(self.pool[0:KEY])
        self.pool[0:KEY].fill(0)
        self.left = POOL

    def _step(self) -> None:
        low = u64(self.state.words[12]) + 1
        self.state.words[12] = u32(low)
        self.state.words[13] = u32(u64(self.state.words[13]) + (low >> 32))

    def _first_seed(self) -> None:
        """What the machine itself offers."""
        self.absorb(machine.clock.cycles())
        self.absorb(machine.clock.realtime_ns())
        for _ in range(4):
            self.absorb(rdrand.hardware_random())
        self.ready = True

    def absorb(self, word: u64) -> None:
        """Fold a word into the key. Each goes to another place, and each refill spreads it over all."""
        at = 4 + u32(self.mixed % 4) * 2
        self.state.words[at] ^= u32(word)
        self.state.words[at + 1] ^= u32(word >> 32)
        self.mixed += 1

    def take(self, into: Slice[u8]) -> None:
        """Fill `into`. Under the lock."""
        at: usize = 0
        while at < len(into):
            if self.left == 0:
                self.refill()
            n = min(self.left, usize(len(into)) - at)
            start = BLOCK * 2 - self.left
            into[at : at + n].copy_from(self.pool[start : start + n])
            self.pool[start : start + n].fill(0)
            self.left -= n
            at += n


generator = Generator()


def fill(into: Slice[u8]) -> None:
    """Fill `into` with random bytes."""
    with generator.lock:
        generator.take(into)


def word() -> u64:
    """A random word."""
    cell = Array[u64, 1]()
    fill(as_bytes(cell))
    return cell[0]


def mix(data: Bytes) -> None:
    """Add what a device or a writer of /dev/urandom offers; never makes things worse."""
    with generator.lock:
        value: u64 = u64(0)
        count = 0
        for byte in data:
            value = (value & 0x00FF_FFFF_FFFF_FFFF) << 8 | byte
            count += 1
            if count == 8:
                generator.absorb(value)
                value = u64(0)
                count = 0
        generator.absorb(value)
        generator.left = 0


def copy_out(buf: UserBuf) -> usize:
    """Random bytes into a user buffer: read(2) of /dev/urandom. A signal ends a long read early (random(7)); a fault
    after some bytes ends it with those. Raises OSError(EFAULT) when there are none."""
    done: usize = 0
    chunk = Array[u8, 256]()
    while buf.remaining() > 0:
        n = min(buf.remaining(), usize(256))
        fill(chunk[0:n])
        try:
            buf.copy_out(chunk[0:n])
        except OSError:
            if done == 0:
                raise
            break
        done += n
        if has_pending(machine.percpu.current()):
            break
    chunk[:].fill(0)
    return done


@syscall(x86_64=318, arm64=278)
def getrandom(buffer: u64, count: usize, flags: u32) -> usize:
    """getrandom(2): random bytes; the generator is ready from boot, so nothing ever blocks."""
    if (flags & ~u32(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) != 0:
        raise OSError(errno.EINVAL)
    if (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE):
        raise OSError(errno.EINVAL)
    return copy_out(UserBuf(buffer, min(count, usize(0x7FFF_F000))))
