# SPDX-License-Identifier: Apache-2.0
"""/dev/vportNpM: a port of a virtio console as a plain byte stream.

Reads give what has come, at least a byte, and 0 once the host's end is closed and everything was read. Writes take
all, sleeping while the host does not read; EPIPE and SIGPIPE when its end was closed. Before the host opens its end
for the first time both wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.poll import POLLERR, POLLHUP, READABLE, WRITABLE
from kaa.kernel.abi.signal import Signal
from kaa.kernel.arch import machine
from kaa.kernel.drivers.virtio.port import Port, contents
from kaa.kernel.fs.file import File
from kaa.kernel.signal import send
from kaa.lang import u32, usize

if TYPE_CHECKING:
    from kaa.kernel.drivers.virtio.console import Console
    from kaa.kernel.fs.path import Path
    from kaa.kernel.fs.poll import PollTable
    from kaa.kernel.mm.user import UserBuf


class PortFile(File):
    """An open port; made by `open_file` only, which counts it."""

    console: Final[Console]
    port: Final[Port]

    def __init__(self, path: Path, flags: u32, console: Console, port: Port) -> None:
        super().__init__(path, flags)
        self.console = console
        self.port = port

    def __del__(self) -> None:
        self.console.closed(self.port)

    def read(self, buf: UserBuf) -> usize:
        if buf.remaining() == 0:
            return 0
        port = self.port
        while True:
            done = self.copy_received(buf)
            if done > 0:
                return done
            if port.ended() and not port.has_input():
                return 0
            if self.nonblocking():
                raise BlockingIOError
            port.read_wait.wait_interruptible(lambda: port.has_input() or port.ended())

    def copy_received(self, buf: UserBuf) -> usize:
        """Move what has come to the caller, as much as fits. Raises OSError(EFAULT)."""
        port = self.port
        done: usize = 0
        with port.read_turn:
            while buf.remaining() > 0:
                buffer = port.oldest()
                if buffer is None:
                    break
                count = min(buf.remaining(), buffer.used - buffer.taken)
                buf.copy_out(contents(buffer)[buffer.taken : buffer.taken + count])
                port.consume(buffer, count)
                done += count
        return done

    def write(self, buf: UserBuf) -> usize:
        done: usize = 0
        while buf.remaining() > 0:
            try:
                done += self.write_buffer(buf)
            except OSError:
                if done > 0:
                    return done
                raise
        return done

    def write_buffer(self, buf: UserBuf) -> usize:
        """One buffer's worth; 0 when we had to wait for a buffer. Raises BrokenPipeError, BlockingIOError, Restart."""
        port = self.port
        if port.refuses():
            send.send_kernel(machine.percpu.current(), Signal.SIGPIPE)
            raise BrokenPipeError
        buffer = port.send_buffer(buf.remaining()) if port.host_open else None
        if buffer is None:
            self.wait_sendable()
            return 0
        count = min(buf.remaining(), buffer.memory.size())
        try:
            buf.copy_in(contents(buffer)[:count])
        except OSError:
            port.give_back(buffer)
            raise
        port.send(buffer, count)
        return count

    def wait_sendable(self) -> None:
        """Sleep until a buffer is to be had and the host's end is open, or closed for good."""
        port = self.port
        if self.nonblocking():
            raise BlockingIOError
        port.write_wait.wait_interruptible(lambda: port.ended() or port.can_write())

    def poll(self, table: PollTable | None) -> u32:
        port = self.port
        if table is not None:
            table.add(port.read_wait)
            table.add(port.write_wait)
        events: u32 = 0
        if port.has_input() or port.ended():
            events |= READABLE
        if port.ended():
            events |= POLLHUP | POLLERR
        elif port.can_write():
            events |= WRITABLE
        return events


def open_file(path: Path, flags: u32, console: Console, port: Port) -> PortFile:
    """open(2): the port counts its files, and tells the host of the first and the last. Raises MemoryError."""
    console.opened(port)
    try:
        return PortFile(path, flags, console, port)
    except MemoryError:
        console.closed(port)
        raise
