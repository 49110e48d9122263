# SPDX-License-Identifier: Apache-2.0
"""What a terminal asks of the hardware (or of the pseudo terminal's master) behind it.

Methods are called with the terminal's spin lock held unless they say otherwise: they must not sleep. A driver that
takes output into a queue of its own calls `Tty.output_drained()` when there is room again, without that lock.
"""

from __future__ import annotations

from kaa.kernel.abi.termios import Termios, Winsize
from kaa.lang import Array, Bytes, u8, usize


class TtyDriver:
    """The far side of a terminal."""

    def write(self, data: Bytes) -> usize:
        """Take up to `len(data)` bytes for output, never sleeping; how many were taken."""
        return usize(len(data))

    def write_byte(self, byte: u8) -> bool:
        """Take one byte; False when there is no room."""
        single = Array[u8, 1]()
        single[0] = byte
        return self.write(single[:]) == 1

    def room(self) -> usize:
        """Bytes that `write` would take now."""
        return 4096

    def pending(self) -> usize:
        """Bytes taken and not yet sent (TIOCOUTQ)."""
        return 0

    def flush_output(self) -> None:
        """Throw away what was taken and not sent (TCOFLUSH)."""

    def configure(self, termios: Termios) -> None:
        """The terminal's settings changed."""

    def resized(self, size: Winsize) -> None:
        """The terminal's size was set (pseudo terminals pass it on)."""

    def stop(self) -> None:
        """Stop sending (flow control)."""

    def start(self) -> None:
        """Send again."""

    def opened(self) -> None:
        """A file was opened. May raise OSError."""

    def closed(self) -> None:
        """The terminal's last file was closed."""

    def input_taken(self) -> None:
        """A reader took input: what the driver held back may be delivered. Called without the terminal's lock."""
