# SPDX-License-Identifier: Apache-2.0
"""Pseudo terminals: a terminal whose far side is a program with the master open (pty(7), ioctl_tty(2)).

What the slave writes waits in a ring for the master; what the master writes is the slave's input. A pair lives as
long as its master: closing it hangs the slave up. While no file of the slave is open, and one was, the master reads
EIO.

`Pty.lock` covers the ring and flags; it comes after `Tty.lock`.
"""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.stat import make_device
from kaa.kernel.abi.termios import Mode, Winsize
from kaa.kernel.arch import machine
from kaa.kernel.drivers.tty.driver import TtyDriver
from kaa.kernel.drivers.tty.ring import ByteRing
from kaa.kernel.drivers.tty.tty import PTY_SLAVE, Tty
from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.lang import Array, Bytes, Guarded, Relaxed, Slice, noinline, u8, u32, usize

SLAVE_MAJOR = 136
PTY_LIMIT = 256

PACKET_FLUSH_WRITE = 2
PACKET_STOP = 4
PACKET_START = 8
"""TIOCPKT's control bytes, ioctl_tty(2)."""


class Pty(TtyDriver):
    """The far side of a slave."""

    number: Final[u32]
    lock: Final[SpinLock]
    ring: Guarded[ByteRing, "lock"]
    master_wait: Final[WaitQueue]
    locked: Guarded[Relaxed[bool], "lock"] = True
    """TIOCSPTLCK: the slave cannot be opened yet."""
    slave_was_open: Guarded[bool, "lock"] = False
    slave_open: Guarded[bool, "lock"] = False
    master_open: Guarded[bool, "lock"] = True
    packet_mode: Guarded[Relaxed[bool], "lock"] = False
    packet_events: Guarded[Relaxed[u8], "lock"] = 0

    def __init__(self, number: u32) -> None:
        self.number = number
        self.lock = SpinLock("pty")
        self.ring = ByteRing()
        self.master_wait = WaitQueue()

    def write(self, data: Bytes) -> usize:
        with self.lock:
            taken = self.ring.write(data)
        self.master_wait.wake_all()
        return taken

    def room(self) -> usize:
        with self.lock:
            return self.ring.room()

    @noinline
    def queued(self) -> usize:
        """Bytes of the slave that wait for the master."""
        with self.lock:
            return self.ring.fill()

    def flush_output(self) -> None:
        with self.lock:
            self.ring.clear()
        self.note(PACKET_FLUSH_WRITE, 0)

    def stop(self) -> None:
        self.note(PACKET_STOP, PACKET_START)

    def start(self) -> None:
        self.note(PACKET_START, PACKET_STOP)

    def note(self, event: u8, instead_of: u8) -> None:
        """Packet mode: keep an event for the master's next read."""
        with self.lock:
            if not self.packet_mode:
                return
            self.packet_events = (self.packet_events & ~instead_of) | event
        self.master_wait.wake_all()

    def opened(self) -> None:
        with self.lock:
            if self.locked or not self.master_open:
                raise OSError(errno.EIO)
            self.slave_open = True
            self.slave_was_open = True

    def closed(self) -> None:
        with self.lock:
            self.slave_open = False
        self.master_wait.wake_all()

    def close_master(self) -> None:
        """The master's file is closed: nobody opens the slave any more."""
        with self.lock:
            self.master_open = False

    def set_locked(self, locked: bool) -> None:
        """TIOCSPTLCK."""
        with self.lock:
            self.locked = locked

    def set_packet_mode(self, on: bool) -> None:
        """TIOCPKT; what happened before it is not told."""
        with self.lock:
            self.packet_mode = on
            self.packet_events = 0

    def input_taken(self) -> None:
        self.master_wait.wake_all()

    @noinline
    def has_output(self) -> bool:
        """Whether the master finds something to read."""
        with self.lock:
            return self.ring.fill() > 0 or self.packet_events != 0

    @noinline
    def ended(self) -> bool:
        """Whether nobody has the slave open any more."""
        with self.lock:
            return self.slave_was_open and not self.slave_open

    def take(self, into: Slice[u8]) -> usize:
        """What the slave wrote, for the master; with packet mode one byte that says what follows comes first."""
        with self.lock:
            if not self.packet_mode:
                return self.ring.read(into)
            into[0] = self.packet_events
            if self.packet_events != 0:
                self.packet_events = 0
                return 1
            return self.ring.read(into[1:]) + 1


class Pair:
    """A pseudo terminal in use."""

    pty: Final[Pty]
    tty: Final[Tty]
    uid: Final[u32]
    gid: Final[u32]
    """Of who opened the master: the slave's owner."""

    def __init__(self, number: u32) -> None:
        credentials = machine.percpu.current().credentials
        self.uid = credentials.fsuid
        self.gid = credentials.fsgid
        self.pty = Pty(number)
        tty = Tty(self.pty, make_device(SLAVE_MAJOR, number), PTY_SLAVE)
        tty.termios.c_cflag = Mode.B38400 | Mode.CS8 | Mode.CREAD
        tty.winsize = Winsize()
        self.tty = tty


class Pairs:
    """All pseudo terminals by number. `lock` covers the table; no pair is dropped under it."""

    lock: Final[SpinLock]
    table: Guarded[Array[Pair | None, PTY_LIMIT], "lock"]

    def __init__(self) -> None:
        self.lock = SpinLock("ptys")
        self.table = Array[Pair | None, PTY_LIMIT]()

    def new(self) -> Pair:
        """A fresh pair with the lowest free number. Raises OSError(ENOSPC), MemoryError."""
        while True:
            number = self.lowest_free()
            pair = Pair(number)
            with self.lock:
                if self.table[number] is None:
                    self.table[number] = pair
                    return pair

    def lowest_free(self) -> u32:
        """A number nobody had just now."""
        with self.lock:
            for number in range(PTY_LIMIT):
                if self.table[number] is None:
                    return u32(number)
        raise OSError(errno.ENOSPC)

    def find(self, number: u32) -> Pair:
        """Raises OSError(EIO), as opening a dead slave does."""
        with self.lock:
            pair = self.table[number] if number < PTY_LIMIT else None
        if pair is None:
            raise OSError(errno.EIO)
        return pair

    def alive(self, number: u32) -> bool:
        """Whether the number is in use."""
        with self.lock:
            return number < PTY_LIMIT and self.table[number] is not None

    def remove(self, pair: Pair) -> None:
        """The master is closed."""
        with self.lock:
            self.table[pair.pty.number] = None


pairs = Pairs()
