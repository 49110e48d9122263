# SPDX-License-Identifier: Apache-2.0
"""write(2) to a terminal, and waiting for output to be sent.

One writer at a time (`tty.writing`), so that what one call writes stays together; waiting for the turn and for
room can be interrupted. After a hang-up writes fail with EIO.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.drivers.tty import output
from kaa.lang import Array, u8, usize

if TYPE_CHECKING:
    from kaa.kernel.drivers.tty.file import TerminalFile, TtyFile
    from kaa.kernel.drivers.tty.tty import Tty
    from kaa.kernel.mm.user import UserBuf

PIECE = 256


def write(file: TtyFile, tty: Tty, buf: UserBuf) -> usize:
    """Send the caller's bytes; how many were taken. Raises BlockingIOError, Restart, OSError(EIO, EFAULT)."""
    take_turn(file, tty)
    try:
        return write_all(file, tty, buf)
    finally:
        end_turn(tty)


def take_turn(file: TtyFile, tty: Tty) -> None:
    """Become the one writer."""
    while not try_turn(tty):
        if file.nonblocking():
            raise BlockingIOError
        tty.write_wait.wait_interruptible(lambda: not tty.writing)


def try_turn(tty: Tty) -> bool:
    """Become the one writer if there is none."""
    with tty.lock:
        free = not tty.writing
        tty.writing = True
    return free


def end_turn(tty: Tty) -> None:
    """Let the next writer in."""
    with tty.lock:
        tty.writing = False
    tty.write_wait.wake_all()


def write_all(file: TtyFile, tty: Tty, buf: UserBuf) -> usize:
    """All pieces of one write."""
    piece = Array[u8, PIECE]()
    done: usize = 0
    while buf.remaining() > 0:
        count = min(buf.remaining(), PIECE)
        try:
            buf.copy_in(piece[:count])
            sent: usize = 0
            while sent < count:
                taken = write_piece(file, tty, piece, sent, count)
                sent += taken
                done += taken
                if taken == 0:
                    wait_room(file, tty)
        except OSError:
            if done > 0:
                return done
            raise
    return done


def write_piece(file: TtyFile, tty: Tty, piece: Array[u8, PIECE], start: usize, end: usize) -> usize:
    """Give the line discipline a piece; how much of it was taken."""
    if file.hung_up():
        raise OSError(errno.EIO)
    with tty.lock:
        return output.write(tty, piece[start:end])


def wait_room(file: TtyFile, tty: Tty) -> None:
    """Sleep until a byte may go out again."""
    if file.nonblocking():
        raise BlockingIOError
    tty.write_wait.wait_interruptible(lambda: tty.output_ready() or file.hung_up())


def drain(file: TerminalFile, tty: Tty) -> None:
    """tcdrain(3): sleep until all output was sent."""
    tty.write_wait.wait_interruptible(lambda: tty.driver.pending() == 0 or file.hung_up())
