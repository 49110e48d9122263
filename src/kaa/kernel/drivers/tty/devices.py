# SPDX-License-Identifier: Apache-2.0
"""The terminals' device nodes: /dev/tty, /dev/console, and one for each line a driver brings.

/dev/console is the line that the last `console=` on the kernel command line names, if it is there, else the first line
that any driver brought. `console=ttyS0,115200` names ttyS0.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import O_NOCTTY
from kaa.kernel.drivers.char import registry
from kaa.kernel.drivers.tty import job_control
from kaa.kernel.drivers.tty.file import open_tty
from kaa.kernel.locking.mutex import Mutex
from kaa.lang import Bytes, Guarded, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.drivers.tty.tty import Tty
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.path import Path

TTY_MAJOR = 4
AUXILIARY_MAJOR = 5
HVC_MAJOR = 229
SERIAL_MINOR = 64


class Line:
    """A terminal that hardware gives."""

    name: Final[bytes]
    tty: Final[Tty]

    def __init__(self, name: bytes, tty: Tty) -> None:
        self.name = name
        self.tty = tty


class Consoles:
    """All lines, in the order they were found; never removed. `lock` covers the list."""

    lock: Final[Mutex]
    lines: Guarded[list[Line], "lock"]
    wanted: bytes = b""
    """The name that `console=` gave."""

    def __init__(self) -> None:
        self.lock = Mutex("terminal lines")
        self.lines = []

    def add(self, line: Line) -> None:
        """One more. Raises MemoryError."""
        with self.lock:
            self.lines.append(line)

    def choose(self, name: Bytes) -> None:
        """`console=` on the command line; the last one counts."""
        comma = name.find(44)
        self.wanted = bytes(name if comma < 0 else name[:comma])

    def main(self) -> Tty | None:
        """The terminal behind /dev/console."""
        with self.lock:
            for line in self.lines:
                if line.name == self.wanted:
                    return line.tty
            return self.lines[0].tty if len(self.lines) > 0 else None

    def find(self, device: u64) -> Tty:
        """The line with a device number. Raises OSError(ENXIO)."""
        with self.lock:
            for line in self.lines:
                if line.tty.device == device:
                    return line.tty
        raise OSError(errno.ENXIO)


consoles = Consoles()


def add_line(name: bytes, tty: Tty, major: u32, minor: u32) -> None:
    """A driver brings a terminal: list it and make its node. Raises MemoryError."""
    consoles.add(Line(name, tty))
    registry.register(major, minor, name, open_line, 0o620)


def open_line(flags: u32, path: Path) -> File:
    """open(2) of a line's node, found by the inode's device number."""
    return open_tty(consoles.find(path.inode().rdev), flags, path)


def open_own(flags: u32, path: Path) -> File:
    """/dev/tty: the caller's controlling terminal. Raises OSError(ENXIO)."""
    return open_tty(job_control.own_terminal(), flags | O_NOCTTY, path)


def console_tty() -> Tty:
    """The terminal behind /dev/console. Raises OSError(ENODEV)."""
    tty = consoles.main()
    if tty is None:
        raise OSError(errno.ENODEV)
    return tty


def open_console(flags: u32, path: Path) -> File:
    """/dev/console; never becomes a controlling terminal by being opened."""
    return open_tty(console_tty(), flags | O_NOCTTY, path)


def register_nodes() -> None:
    """Make /dev/tty and /dev/console."""
    registry.register(AUXILIARY_MAJOR, 0, b"tty", open_own, 0o666)
    registry.register(AUXILIARY_MAJOR, 1, b"console", open_console, 0o600)
