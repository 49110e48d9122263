# SPDX-License-Identifier: Apache-2.0
"""Output processing of a terminal: c_oflag, and the column that tabs and erasing need.

POSIX, General Terminal Interface, 11.2.3. All functions run with `tty.lock` held and never sleep: they take what
the driver has room for and say how much that was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.abi.termios import Input, Local, Output
from kaa.lang import Array, Bytes, u8, u32, usize

if TYPE_CHECKING:
    from kaa.kernel.drivers.tty.tty import Tty

TAB = 9
NEWLINE = 10
RETURN = 13
BACKSPACE = 8
DELETE = 127
TAB_WIDTH = 8


def is_control(byte: u8) -> bool:
    """C0 control characters and DEL."""
    return byte < 32 or byte == DELETE


def is_continuation(tty: Tty, byte: u8) -> bool:
    """A byte of a UTF-8 character after its first (with IUTF8)."""
    return (byte & 0xC0) == 0x80 and tty.termios.c_iflag & Input.IUTF8 != 0


def write(tty: Tty, data: Bytes) -> usize:
    """Send `data` through output processing; how many of its bytes were taken."""
    if tty.stopped:
        return 0
    if not tty.termios.c_oflag & Output.OPOST:
        return tty.driver.write(data)
    done: usize = 0
    while done < len(data):
        run = plain_run(tty, data[done:])
        if run:
            taken = tty.driver.write(data[done : done + run])
            tty.column += u32(taken)
            done += taken
            if taken < run:
                break
        elif not put(tty, data[done]):
            break
        else:
            done += 1
    return done


def plain_run(tty: Tty, data: Bytes) -> usize:
    """Length of the start of `data` that passes unchanged, one column for each byte."""
    if tty.termios.c_oflag & Output.OLCUC:
        return 0
    index: usize = 0
    for byte in data:
        if byte < 32 or byte >= DELETE:
            break
        index += 1
    return index


def put(tty: Tty, byte: u8) -> bool:
    """Send one byte through output processing; False, and nothing sent, when there is no room for all of it."""
    flags = tty.termios.c_oflag
    if not flags & Output.OPOST:
        return tty.driver.write_byte(byte)
    match byte:
        case 10:
            return put_newline(tty, flags)
        case 13:
            return put_return(tty, flags)
        case 9:
            return put_tab(tty, flags)
        case 8:
            if tty.column > 0:
                tty.column -= 1
        case _:
            if not is_control(byte):
                if flags & Output.OLCUC and 97 <= byte <= 122:
                    byte -= 32
                if not is_continuation(tty, byte):
                    tty.column += 1
    return tty.driver.write_byte(byte)


def put_newline(tty: Tty, flags: u32) -> bool:
    """NL: with ONLCR as CR NL, with ONLRET as a carriage return too."""
    if flags & Output.ONLCR:
        if tty.driver.room() < 2:
            return False
        tty.driver.write(b"\r\n")
        tty.column = 0
        return True
    if not tty.driver.write_byte(NEWLINE):
        return False
    if flags & Output.ONLRET:
        tty.column = 0
    return True


def put_return(tty: Tty, flags: u32) -> bool:
    """CR: not at column 0 with ONOCR, as NL with OCRNL."""
    if flags & Output.ONOCR and tty.column == 0:
        return True
    if flags & Output.OCRNL:
        if not tty.driver.write_byte(NEWLINE):
            return False
        if flags & Output.ONLRET:
            tty.column = 0
        return True
    if not tty.driver.write_byte(RETURN):
        return False
    tty.column = 0
    return True


def put_tab(tty: Tty, flags: u32) -> bool:
    """HT: with XTABS as spaces to the next multiple of eight."""
    width = TAB_WIDTH - tty.column % TAB_WIDTH
    if flags & Output.XTABS:
        if tty.driver.room() < width:
            return False
        tty.driver.write(b"        "[:width])
    elif not tty.driver.write_byte(TAB):
        return False
    tty.column += width
    return True


def echo(tty: Tty, byte: u8) -> None:
    """Echo an input byte: control characters as ^X with ECHOCTL. Dropped where the driver has no room."""
    if tty.termios.c_lflag & Local.ECHOCTL and is_control(byte) and byte != TAB and byte != NEWLINE:
        pair = Array[u8, 2]()
        pair[0] = 94
        pair[1] = byte ^ 64
        if tty.driver.room() >= 2:
            tty.driver.write(pair[:])
            tty.column += 2
    else:
        put(tty, byte)


def echo_width(tty: Tty, byte: u8, column: u32) -> u32:
    """Columns that `echo` of this byte takes, when it starts in `column`."""
    if byte == TAB:
        return TAB_WIDTH - column % TAB_WIDTH
    if is_control(byte):
        return 2 if tty.termios.c_lflag & Local.ECHOCTL and byte != NEWLINE else 0
    return 0 if is_continuation(tty, byte) else 1


def rub_out(tty: Tty, columns: u32) -> None:
    """Erase `columns` columns to the left of the cursor on a screen."""
    for _ in range(columns):
        if tty.driver.room() < 3:
            return
        tty.driver.write(b"\b \b")
        if tty.column > 0:
            tty.column -= 1


def step_back(tty: Tty, columns: u32) -> None:
    """Move the cursor left, erasing nothing (a tab left no ink)."""
    for _ in range(columns):
        if not tty.driver.write_byte(BACKSPACE):
            return
        if tty.column > 0:
            tty.column -= 1
