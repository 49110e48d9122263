# SPDX-License-Identifier: Apache-2.0
"""What of virtio consoles is seen in /dev: vportNpM, virtio-ports/NAME, hvcN."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.stat import device_minor, make_device
from kaa.kernel.abi.termios import Winsize
from kaa.kernel.drivers.char import registry
from kaa.kernel.drivers.tty import devices, ioctl
from kaa.kernel.drivers.tty.tty import SERIAL, Tty
from kaa.kernel.drivers.virtio.hvc import HvcDriver
from kaa.kernel.drivers.virtio.port_file import open_file
from kaa.kernel.fs.text import TextBuffer
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.sched import core
from kaa.lang import Array, Bytes, u16, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.drivers.virtio.console import Console
    from kaa.kernel.drivers.virtio.port import Port
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.path import Path

PORT_MAJOR = 243
PORTS_PER_CONSOLE = 32
NAME_MAX = 64
TERMINALS = 32
"""Virtio consoles that become terminals, at most."""


class Consoles:
    """All virtio consoles, and the terminals on them, in order of appearance. Never removed. `all` is written when
    devices are found, before other processors run; `terminals` under `lock`, slot by slot, and read without it, in
    interrupts too."""

    all: list[Console]
    lock: Final[Mutex]
    terminals: Array[HvcDriver | None, TERMINALS]

    def __init__(self) -> None:
        self.all = []
        self.lock = Mutex("virtio terminals")
        self.terminals = Array[HvcDriver | None, TERMINALS]()

    def free_slot(self) -> u32:
        """The lowest number without a terminal. `lock` is held. Raises OSError(ENOSPC)."""
        for number in range(TERMINALS):
            if self.terminals[number] is None:
                return u32(number)
        raise OSError(errno.ENOSPC)


consoles = Consoles()


def port_name(console: Console, port: Port) -> bytes:
    """vportNpM."""
    text = TextBuffer()
    text.add(b"vport")
    text.decimal(u64(console.index))
    text.add(b"p")
    text.decimal(u64(port.number))
    return text.to_bytes()


def add_port(console: Console, port: Port) -> None:
    """Make the node of a port. Raises MemoryError."""
    minor = console.index * PORTS_PER_CONSOLE + port.number
    registry.register(PORT_MAJOR, minor, port_name(console, port), open_port, 0o600)


def add_name(console: Console, port: Port, name: Bytes) -> None:
    """Make the link virtio-ports/NAME; a name that is no file name is left out. Raises MemoryError."""
    end = name.find(0)
    name = name if end < 0 else name[:end]
    if len(name) == 0 or len(name) > NAME_MAX or name.find(47) >= 0 or name == b"." or name == b"..":
        return
    link = TextBuffer()
    link.add(b"virtio-ports/")
    link.add(name)
    target = TextBuffer()
    target.add(b"../")
    target.add(port_name(console, port))
    registry.alias(link.to_bytes(), target.to_bytes())


def open_port(flags: u32, path: Path) -> File:
    """open(2) of a port's node. Raises OSError(ENXIO) where a terminal sits on it."""
    minor = device_minor(path.inode().rdev)
    index = minor // PORTS_PER_CONSOLE
    if index >= len(consoles.all):
        raise OSError(errno.ENXIO)
    console = consoles.all[index]
    number = minor % PORTS_PER_CONSOLE
    if number >= len(console.ports) or console.ports[number].is_console.load_acquire():
        raise OSError(errno.ENXIO)
    return open_file(path, flags, console, console.ports[number])


def add_console(driver: HvcDriver) -> None:
    """Make the terminal hvcN of a port, and the thread that feeds it. Raises MemoryError."""
    with consoles.lock:
        number = consoles.free_slot()
        name = TextBuffer()
        name.add(b"hvc")
        name.decimal(u64(number))
        tty = Tty(driver, make_device(devices.HVC_MAJOR, number), SERIAL)
        driver.tty = tty
        consoles.terminals[number] = driver
    devices.add_line(name.to_bytes(), tty, devices.HVC_MAJOR, number)
    core.spawn_kernel_thread(feed, u64(number), b"hvc")


def feed(number: u64) -> None:
    """The thread of a terminal: received bytes to its line discipline."""
    driver = consoles.terminals[number]
    assert driver is not None
    while True:
        driver.feed_once()


def drained(port: Port) -> None:
    """The port may have room again: writers of the terminal on it look."""
    for driver in consoles.terminals:
        if driver is not None and driver.port is port:
            tty = driver.tty
            if tty is not None:
                tty.output_drained()


def resize(console: Console, port: Port, text: Bytes) -> None:
    """The host's window has another size: columns, rows, 16 bits each."""
    if len(text) < 4:
        return
    columns = u16(text[0]) | u16(text[1]) << 8
    rows = u16(text[2]) | u16(text[3]) << 8
    for driver in consoles.terminals:
        if driver is not None and driver.port is port:
            tty = driver.tty
            if tty is not None:
                ioctl.set_size(tty, Winsize(rows, columns))
