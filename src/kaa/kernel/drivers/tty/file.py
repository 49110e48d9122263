# SPDX-License-Identifier: Apache-2.0
"""An open terminal.

A file remembers the terminal's generation: after a hang-up (vhangup, the master of a pseudo terminal closed) it reads
end of file, writes fail with EIO, and poll says POLLHUP. A fresh open starts a new life.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import O_NOCTTY, O_WRONLY
from kaa.kernel.abi.poll import POLLERR, POLLHUP, READABLE, WRITABLE
from kaa.kernel.arch import machine
from kaa.kernel.drivers.tty import ioctl, job_control, reading, writing
from kaa.kernel.fs.file import File
from kaa.lang import i64, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.drivers.tty.tty import Tty
    from kaa.kernel.fs.path import Path
    from kaa.kernel.fs.poll import PollTable
    from kaa.kernel.mm.user import UserBuf


class TerminalFile(File):
    """A file by which a terminal can be told things: the terminal itself, or a pseudo terminal's master."""

    tty: Final[Tty]
    generation: Final[u32]

    def __init__(self, path: Path | None, flags: u32, tty: Tty) -> None:
        super().__init__(path, flags)
        self.tty = tty
        self.generation = tty.generation.load_acquire()

    def hung_up(self) -> bool:
        """Whether the terminal was hung up since this file was opened."""
        return self.generation != self.tty.generation.load_acquire()

    def own_ioctl(self, tty: Tty, command: u32, argument: u64) -> i64:
        """Requests that only some kind of terminal knows."""
        raise OSError(errno.ENOTTY)


class TtyFile(TerminalFile):
    """An open file of a terminal."""

    def __init__(self, path: Path | None, flags: u32, tty: Tty) -> None:
        super().__init__(path, flags, tty)
        with tty.lock:
            tty.opens += 1

    def __del__(self) -> None:
        with self.tty.lock:
            self.tty.opens -= 1
            last = self.tty.opens == 0
        if last:
            self.tty.last_close()

    def read(self, buf: UserBuf) -> usize:
        if self.hung_up() or buf.remaining() == 0:
            return 0
        job_control.check_read(self.tty)
        if self.tty.reads_lines():
            return reading.read_line(self, self.tty, buf)
        return reading.read_raw(self, self.tty, buf)

    def write(self, buf: UserBuf) -> usize:
        if self.hung_up():
            raise OSError(errno.EIO)
        if buf.remaining() == 0:
            return 0
        job_control.check_write(self.tty)
        return writing.write(self, self.tty, buf)

    def poll(self, table: PollTable | None) -> u32:
        tty = self.tty
        if table is not None:
            table.add(tty.read_wait)
            table.add(tty.write_wait)
        if self.hung_up():
            return READABLE | WRITABLE | POLLHUP | POLLERR
        events: u32 = 0
        if tty.enough_input():
            events |= READABLE
        if tty.output_ready():
            events |= WRITABLE
        return events

    def ioctl(self, command: u32, argument: u64) -> i64:
        if self.hung_up():
            raise OSError(errno.EIO)
        return ioctl.ioctl(self, self.tty, command, argument)


def open_tty(tty: Tty, flags: u32, path: Path | None) -> TtyFile:
    """open(2) of a terminal. Raises OSError(EBUSY) when another has it for itself (TIOCEXCL)."""
    if tty.exclusive and tty.opens > 0 and not job_control.privileged_task(machine.percpu.current()):
        raise OSError(errno.EBUSY)
    file = TtyFile(path, flags, tty)
    with tty.lock:
        tty.driver.opened()
    if not flags & O_NOCTTY and (flags & 3) != O_WRONLY:
        job_control.acquire_at_open(tty)
    return file
