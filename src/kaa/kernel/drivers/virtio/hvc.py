# SPDX-License-Identifier: Apache-2.0
"""A terminal on a port of a virtio console: /dev/hvcN."""

from __future__ import annotations

from typing import Final

from kaa.kernel.drivers.tty.driver import TtyDriver
from kaa.kernel.drivers.tty.tty import Tty
from kaa.kernel.drivers.virtio.port import PAGE_SIZE, Port, contents
from kaa.lang import Bytes, usize


class HvcDriver(TtyDriver):
    """Output: one buffer of the port for each piece. Input: straight from the port's buffers, by a thread."""

    port: Final[Port]
    tty: Tty | None = None

    def __init__(self, port: Port) -> None:
        self.port = port

    def write(self, data: Bytes) -> usize:
        if self.port.ended():
            return usize(len(data))
        return self.port.put_now(data)

    def room(self) -> usize:
        return PAGE_SIZE if self.port.ended() or self.port.can_send() else 0

    def pending(self) -> usize:
        return 0 if self.port.sent_all() else 1

    def feed_once(self) -> None:
        """Wait for input and pass it on."""
        self.port.read_wait.wait_until(lambda: self.port.has_input())
        tty = self.tty
        assert tty is not None
        self.feed(tty)

    def feed(self, tty: Tty) -> None:
        """Pass on what has come."""
        buffer = self.port.oldest()
        while buffer is not None:
            taken = tty.receive(contents(buffer)[buffer.taken : buffer.used])
            self.port.consume(buffer, taken)
            if taken == 0:
                tty.write_wait.wait_until(lambda: tty.has_room())
            buffer = self.port.oldest()
