# SPDX-License-Identifier: Apache-2.0
"""read(2) from a terminal: by lines, or by VMIN and VTIME.

POSIX, General Terminal Interface, 11.1.6 and 11.1.7. Data goes through a piece of the kernel stack, because the
copy to the caller may sleep and the buffer's lock is a spin lock. After a hang-up reads give 0 bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.abi.termios import Control
from kaa.kernel.arch import machine
from kaa.lang import Array, u8, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.drivers.tty.file import TtyFile
    from kaa.kernel.drivers.tty.tty import Tty
    from kaa.kernel.mm.user import UserBuf

TENTH_OF_SECOND = 100_000_000
"""VTIME's unit, in ns."""
PIECE = 256


def read_line(file: TtyFile, tty: Tty, buf: UserBuf) -> usize:
    """Canonical: one line, or as much of it as fits; 0 at end of file. Raises BlockingIOError, Restart,
    OSError(EFAULT)."""
    done: usize = 0
    while buf.remaining() > 0:
        if not tty.input_ready() and not file.hung_up():
            if done > 0:
                break
            wait_for_line(file, tty)
        if file.hung_up():
            break
        count, ended = line_piece(tty, buf)
        done += count
        if ended:
            break
    made_room(tty)
    return done


def wait_for_line(file: TtyFile, tty: Tty) -> None:
    """Sleep until there is a complete line, or the mode changes, or the terminal hangs up."""
    if file.nonblocking():
        raise BlockingIOError
    tty.read_wait.wait_interruptible(lambda: tty.input_ready() or file.hung_up())


def line_piece(tty: Tty, buf: UserBuf) -> tuple[usize, bool]:
    """Move up to PIECE bytes of the first line to the caller: how many, and whether the read ends here."""
    piece = Array[u8, PIECE]()
    limit = min(buf.remaining(), PIECE)
    with tty.lock:
        if tty.canonical():
            count, ended = tty.input.take_line(piece[:limit])
        else:
            count = tty.input.take(piece[:limit])
            ended = True
    buf.copy_out(piece[:count])
    return count, ended


def read_raw(file: TtyFile, tty: Tty, buf: UserBuf) -> usize:
    """Non-canonical: what VMIN and VTIME say. Raises BlockingIOError, Restart, OSError(EFAULT)."""
    minimum = usize(tty.control(Control.VMIN))
    tenths = u64(tty.control(Control.VTIME))
    if minimum == 0:
        wait_once(file, tty, tenths)
        return finish(tty, raw_pieces(tty, buf))
    wanted = min(minimum, buf.remaining())
    done = raw_pieces(tty, buf)
    while done < wanted and not file.hung_up():
        if not wait_more(file, tty, done, tenths):
            break
        done += raw_pieces(tty, buf)
    return finish(tty, done)


def wait_once(file: TtyFile, tty: Tty, tenths: u64) -> None:
    """VMIN 0: wait for a first byte up to VTIME, not at all when that is 0."""
    if tenths == 0 or tty.input_ready():
        return
    if file.nonblocking():
        raise BlockingIOError
    deadline = machine.clock.monotonic_ns() + tenths * TENTH_OF_SECOND
    tty.read_wait.wait_interruptible_timeout(lambda: tty.input_ready() or file.hung_up(), deadline)


def wait_more(file: TtyFile, tty: Tty, done: usize, tenths: u64) -> bool:
    """VMIN > 0: wait for another byte; False when the read ends with what it has (time between bytes, a signal)."""
    if file.nonblocking():
        if done > 0:
            return False
        raise BlockingIOError
    try:
        if done > 0 and tenths > 0:
            deadline = machine.clock.monotonic_ns() + tenths * TENTH_OF_SECOND
            return tty.read_wait.wait_interruptible_timeout(lambda: tty.input_ready() or file.hung_up(), deadline)
        tty.read_wait.wait_interruptible(lambda: tty.input_ready() or file.hung_up())
    except OSError:
        if done > 0:
            return False
        raise
    return True


def raw_pieces(tty: Tty, buf: UserBuf) -> usize:
    """Move what is there to the caller, as much as fits."""
    piece = Array[u8, PIECE]()
    done: usize = 0
    while buf.remaining() > 0:
        limit = min(buf.remaining(), PIECE)
        with tty.lock:
            count = tty.input.take(piece[:limit])
        if count == 0:
            break
        buf.copy_out(piece[:count])
        done += count
    return done


def finish(tty: Tty, done: usize) -> usize:
    """The read's result; the driver may go on delivering."""
    made_room(tty)
    return done


def made_room(tty: Tty) -> None:
    """Tell whoever delivers input that some was taken."""
    tty.write_wait.wake_all()
    tty.driver.input_taken()
