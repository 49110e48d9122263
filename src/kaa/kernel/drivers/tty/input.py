# SPDX-License-Identifier: Apache-2.0
"""Input processing of a terminal: c_iflag, special characters, line editing, echo.

POSIX, General Terminal Interface, 11.1.4 to 11.1.9; termios(3) for what Linux adds (word erase, literal next,
reprint, UTF-8 erase). `accept` runs with `tty.lock` held and never sleeps. A character that raises a signal ends
it early with `tty.raised` set: the caller sends the signal without the lock and calls again with the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.abi.signal import Signal
from kaa.kernel.abi.termios import DISABLED, Control, Input, Local
from kaa.kernel.drivers.tty import line_edit, output
from kaa.kernel.drivers.tty.line_buffer import END_OF_FILE
from kaa.lang import Bytes, u8, u32, usize

if TYPE_CHECKING:
    from kaa.kernel.drivers.tty.tty import Tty

NEWLINE = 10
RETURN = 13
SPECIAL_INPUT = Input.ISTRIP | Input.IUCLC | Input.IXON | Input.IXANY | Input.INLCR | Input.IGNCR | Input.ICRNL
SPECIAL_LOCAL = Local.ISIG | Local.ICANON | Local.ECHO | Local.IEXTEN


def accept(tty: Tty, data: Bytes) -> usize:
    """Take received bytes, up to the first that raises a signal or finds no room; how many were taken."""
    done: usize = 0
    while done < len(data) and tty.raised == 0:
        if not has_room(tty):
            break
        accept_byte(tty, data[done])
        done += 1
    return done


def has_room(tty: Tty) -> bool:
    """Whether one more byte can be dealt with.

    A full buffer without a complete line never empties by itself: then input goes on, and what does not fit is
    dropped, so that the line's end, or an erase, can still come.
    """
    if tty.input.room() > 2:
        return True
    return tty.canonical() and tty.input.lines() == 0


def accept_byte(tty: Tty, byte: u8) -> None:
    """One received byte, through all of c_iflag and c_lflag."""
    if tty.termios.c_iflag & SPECIAL_INPUT == 0 and tty.termios.c_lflag & SPECIAL_LOCAL == 0:
        tty.input.push(byte)
        return
    byte = translate(tty, byte)
    if tty.literal_next:
        tty.literal_next = False
        store(tty, byte)
    elif flow_control(tty, byte) or raises_signal(tty, byte):
        return
    elif byte == RETURN and tty.termios.c_iflag & Input.IGNCR:
        return
    else:
        byte = translate_end(tty, byte)
        if not (tty.canonical() and edit(tty, byte)):
            store(tty, byte)


def translate(tty: Tty, byte: u8) -> u8:
    """ISTRIP and IUCLC."""
    flags = tty.termios.c_iflag
    if flags & Input.ISTRIP:
        byte &= 0x7F
    if flags & Input.IUCLC and tty.extended() and 65 <= byte <= 90:
        byte += 32
    return byte


def translate_end(tty: Tty, byte: u8) -> u8:
    """ICRNL and INLCR."""
    if byte == RETURN and tty.termios.c_iflag & Input.ICRNL:
        return NEWLINE
    if byte == NEWLINE and tty.termios.c_iflag & Input.INLCR:
        return RETURN
    return byte


def flow_control(tty: Tty, byte: u8) -> bool:
    """IXON's STOP and START (and with IXANY any character starts); True when the byte was one of them."""
    if not tty.termios.c_iflag & Input.IXON:
        return False
    if tty.matches(byte, Control.VSTART):
        tty.start_output()
        return True
    if tty.matches(byte, Control.VSTOP):
        tty.stop_output()
        return True
    if tty.stopped and tty.termios.c_iflag & Input.IXANY:
        tty.start_output()
    return False


def raises_signal(tty: Tty, byte: u8) -> bool:
    """ISIG's INTR, QUIT and SUSP; True when the byte was one of them."""
    if not tty.termios.c_lflag & Local.ISIG:
        return False
    signo = signal_of(tty, byte)
    if signo == 0:
        return False
    if not tty.termios.c_lflag & Local.NOFLSH:
        tty.input.clear()
        tty.driver.flush_output()
    tty.start_output()
    if tty.termios.c_lflag & Local.ECHO:
        output.echo(tty, byte)
    tty.raised = signo
    return True


def signal_of(tty: Tty, byte: u8) -> u32:
    """The signal that this character stands for, or 0."""
    if tty.matches(byte, Control.VINTR):
        return Signal.SIGINT
    if tty.matches(byte, Control.VQUIT):
        return Signal.SIGQUIT
    if tty.matches(byte, Control.VSUSP):
        return Signal.SIGTSTP
    return 0


def edit(tty: Tty, byte: u8) -> bool:
    """Canonical mode's special characters; False when the byte is none of them."""
    if byte == NEWLINE:
        end_line(tty, byte)
    elif byte == DISABLED:
        return False
    elif tty.matches(byte, Control.VERASE):
        line_edit.erase_character(tty)
    elif tty.matches(byte, Control.VKILL):
        line_edit.kill_line(tty)
    elif tty.matches(byte, Control.VEOF):
        if not tty.input.push_delimiter(END_OF_FILE):
            tty.input.complete()
    elif tty.matches(byte, Control.VEOL):
        end_line(tty, byte)
    elif tty.extended():
        return edit_extended(tty, byte)
    else:
        return False
    return True


def edit_extended(tty: Tty, byte: u8) -> bool:
    """The special characters that need IEXTEN."""
    if tty.matches(byte, Control.VWERASE):
        line_edit.erase_word(tty)
    elif tty.matches(byte, Control.VREPRINT) and tty.echoes():
        line_edit.reprint(tty, byte)
    elif tty.matches(byte, Control.VEOL2):
        end_line(tty, byte)
    elif tty.matches(byte, Control.VLNEXT):
        tty.literal_next = True
        if tty.echoes() and tty.termios.c_lflag & Local.ECHOCTL and tty.driver.room() >= 2:
            tty.driver.write(b"^\b")
    else:
        return False
    return True


def end_line(tty: Tty, byte: u8) -> None:
    """A character that completes a line; it belongs to the line."""
    if tty.termios.c_lflag & Local.ECHO or (byte == NEWLINE and tty.termios.c_lflag & Local.ECHONL):
        note_start(tty)
        output.echo(tty, byte)
    if not tty.input.push_delimiter(byte):
        # Full: the last place is given to the delimiter, so that the reader sees a line.
        tty.input.drop_last()
        tty.input.push_delimiter(byte)


def store(tty: Tty, byte: u8) -> None:
    """An ordinary character: echo it and put it into the line. One place is kept for the line's end."""
    if tty.canonical() and tty.input.room() <= 1:
        if tty.termios.c_iflag & Input.IMAXBEL:
            tty.driver.write(b"\a")
        return
    if tty.echoes():
        note_start(tty)
        output.echo(tty, byte)
    tty.input.push(byte)


def note_start(tty: Tty) -> None:
    """Remember the column at which the typed line starts: tabs are erased by it."""
    if tty.input.typed() == 0:
        tty.line_column = tty.column
