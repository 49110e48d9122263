# SPDX-License-Identifier: Apache-2.0
"""/dev/ptmx: opening it makes a pseudo terminal and gives its master (pts(4)); and the slaves' opening."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import O_ACCMODE, O_CLOEXEC, O_NOCTTY, O_NONBLOCK
from kaa.kernel.abi.poll import POLLHUP, POLLPRI, READABLE, WRITABLE
from kaa.kernel.abi.stat import device_minor
from kaa.kernel.abi.termios import Ioctl
from kaa.kernel.arch import machine
from kaa.kernel.drivers.char import registry
from kaa.kernel.drivers.tty import ioctl, job_control
from kaa.kernel.drivers.tty.file import TerminalFile, open_tty
from kaa.kernel.drivers.tty.pty import Pair, Pty, pairs
from kaa.kernel.fs import kernel_io
from kaa.kernel.fs.text import TextBuffer
from kaa.kernel.mm.user import UserPtr
from kaa.lang import Array, i32, i64, u8, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.drivers.tty.tty import Tty
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.path import Path
    from kaa.kernel.fs.poll import PollTable
    from kaa.kernel.mm.user import UserBuf

PIECE = 256


class MasterFile(TerminalFile):
    """The master of a pair; closing it ends the pair."""

    pair: Final[Pair]

    def __init__(self, path: Path | None, flags: u32, pair: Pair) -> None:
        super().__init__(path, flags, pair.tty)
        self.pair = pair

    def __del__(self) -> None:
        self.pair.pty.close_master()
        pairs.remove(self.pair)
        self.pair.tty.hang_up()

    def read(self, buf: UserBuf) -> usize:
        pty = self.pair.pty
        if buf.remaining() == 0:
            return 0
        while not pty.has_output():
            if pty.ended():
                raise OSError(errno.EIO)
            if self.nonblocking():
                raise BlockingIOError
            pty.master_wait.wait_interruptible(lambda: pty.has_output() or pty.ended())
        return self.read_pieces(buf, pty)

    def read_pieces(self, buf: UserBuf, pty: Pty) -> usize:
        """Copy what is there; in packet mode one packet."""
        piece = Array[u8, PIECE]()
        done: usize = 0
        while buf.remaining() > 0 and (pty.has_output() or done == 0):
            count = pty.take(piece[: min(buf.remaining(), usize(PIECE))])
            if count == 0:
                break
            buf.copy_out(piece[:count])
            done += count
            if pty.packet_mode:
                break
        self.pair.tty.output_drained()
        return done

    def write(self, buf: UserBuf) -> usize:
        piece = Array[u8, PIECE]()
        done: usize = 0
        while buf.remaining() > 0:
            try:
                count = min(buf.remaining(), usize(PIECE))
                buf.copy_in(piece[:count])
                sent = self.deliver(piece, count)
                done += sent
                if sent < count:
                    return done
            except OSError:
                if done > 0:
                    return done
                raise
        return done

    def deliver(self, piece: Array[u8, PIECE], count: usize) -> usize:
        """A piece to the slave's input, waiting for room to begin with; how much. Raises BlockingIOError, Restart."""
        tty = self.pair.tty
        sent: usize = 0
        while sent < count:
            taken = tty.receive(piece[sent:count])
            sent += taken
            if taken == 0:
                if sent > 0:
                    break
                if self.nonblocking():
                    raise BlockingIOError
                self.pair.pty.master_wait.wait_interruptible(lambda: tty.has_room())
        return sent

    def poll(self, table: PollTable | None) -> u32:
        pty = self.pair.pty
        if table is not None:
            table.add(pty.master_wait)
        events: u32 = 0
        if pty.has_output():
            events |= READABLE
        if pty.packet_events != 0:
            events |= POLLPRI
        if pty.ended():
            events |= POLLHUP
        if self.pair.tty.has_room():
            events |= WRITABLE
        return events

    def ioctl(self, command: u32, argument: u64) -> i64:
        match command:
            case Ioctl.FIONREAD:
                UserPtr[i32](argument).write(i32(self.pair.pty.queued()))
            case Ioctl.TIOCGPGRP:
                UserPtr[i32](argument).write(job_control.foreground_number(self.pair.tty))
            case Ioctl.TIOCGSID:
                UserPtr[i32](argument).write(job_control.session_number(self.pair.tty))
            case Ioctl.TIOCSCTTY | Ioctl.TIOCSPGRP | Ioctl.TIOCNOTTY:
                raise OSError(errno.ENOTTY)
            case _:
                return ioctl.ioctl(self, self.pair.tty, command, argument)
        return 0

    def own_ioctl(self, tty: Tty, command: u32, argument: u64) -> i64:
        pty = self.pair.pty
        match command:
            case Ioctl.TIOCGPTN:
                UserPtr[u32](argument).write(pty.number)
            case Ioctl.TIOCSPTLCK:
                pty.set_locked(UserPtr[i32](argument).read() != 0)
            case Ioctl.TIOCGPTLCK:
                UserPtr[i32](argument).write(1 if pty.locked else 0)
            case Ioctl.TIOCPKT:
                pty.set_packet_mode(UserPtr[i32](argument).read() != 0)
            case Ioctl.TIOCGPKT:
                UserPtr[i32](argument).write(1 if pty.packet_mode else 0)
            case Ioctl.TIOCGPTPEER:
                return self.open_peer(u32(argument))
            case Ioctl.TIOCSIG:
                self.send_signal(u32(argument))
            case _:
                raise OSError(errno.ENOTTY)
        return 0

    def open_peer(self, flags: u32) -> i64:
        """TIOCGPTPEER: a descriptor of the slave, without going by its name. Raises OSError(EINVAL, EMFILE)."""
        if flags & ~u32(O_ACCMODE | O_NOCTTY | O_NONBLOCK | O_CLOEXEC):
            raise OSError(errno.EINVAL)
        file = open_tty(self.pair.tty, flags & ~u32(O_CLOEXEC), self.peer_path())
        return i64(machine.percpu.current().files.install(file, flags & O_CLOEXEC != 0))

    def peer_path(self) -> Path | None:
        """The slave's name where devpts is mounted, for /proc/self/fd and ttyname(3); else the master's."""
        name = TextBuffer()
        name.add(b"/dev/pts/")
        name.decimal(u64(self.pair.pty.number))
        try:
            path = kernel_io.find(name.to_bytes())
            if path.inode().rdev == self.pair.tty.device:
                return path
        except OSError:
            pass
        return self.path

    def send_signal(self, signo: u32) -> None:
        """TIOCSIG: a signal to the slave's foreground. Raises OSError(EINVAL) for others than ^C, ^\\, ^Z make."""
        if signo != 2 and signo != 3 and signo != 20:
            raise OSError(errno.EINVAL)
        self.pair.tty.flush_input()
        job_control.signal_foreground(self.pair.tty, signo)


def open_master(flags: u32, path: Path) -> File:
    """open(2) of /dev/ptmx. Raises OSError(ENOSPC), MemoryError."""
    pair = pairs.new()
    try:
        return MasterFile(path, flags, pair)
    except MemoryError:
        pairs.remove(pair)
        raise


def open_slave(flags: u32, path: Path) -> File:
    """open(2) of /dev/pts/N. Raises OSError(EIO) when it is locked or gone."""
    return open_tty(pairs.find(device_minor(path.inode().rdev)).tty, flags, path)


def register_node() -> None:
    """Make /dev/ptmx. The slaves' names are devpts's; a device node made by mknod(2) finds them too."""
    registry.register(5, 2, b"ptmx", open_master, 0o666)
