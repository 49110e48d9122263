# SPDX-License-Identifier: Apache-2.0
"""Erasing in the line that is being typed: VERASE, VWERASE, VKILL, VREPRINT, and what the screen shows of it.

termios(3): ECHOE erases on the screen, ECHOK and ECHOKE show a kill. With IUTF8 a character of several bytes is
erased as one. All functions run with `tty.lock` held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.abi.termios import Control, Local
from kaa.kernel.drivers.tty import output
from kaa.lang import u8, u32, usize

if TYPE_CHECKING:
    from kaa.kernel.drivers.tty.tty import Tty

NEWLINE = 10
TAB = 9


def erase_character(tty: Tty) -> None:
    """Take the last character back."""
    if tty.input.typed() == 0:
        return
    byte = drop_character(tty)
    if not tty.echoes():
        return
    if tty.termios.c_lflag & Local.ECHOE:
        wipe(tty, byte)
    else:
        output.echo(tty, tty.termios.c_cc[Control.VERASE])


def erase_word(tty: Tty) -> None:
    """Take the last word back, and what separates it from the end of the line."""
    in_word = False
    while tty.input.typed() > 0:
        byte = tty.input.at(tty.input.head - 1)
        if is_word(byte):
            in_word = True
        elif in_word:
            break
        byte = drop_character(tty)
        if tty.echoes():
            wipe(tty, byte)


def kill_line(tty: Tty) -> None:
    """Take the whole line back."""
    flags = tty.termios.c_lflag
    whole: u32 = Local.ECHO | Local.ECHOK | Local.ECHOKE | Local.ECHOE
    on_screen = flags & whole == whole
    while tty.input.typed() > 0:
        byte = drop_character(tty)
        if on_screen:
            wipe(tty, byte)
    if tty.echoes() and not on_screen:
        output.echo(tty, tty.termios.c_cc[Control.VKILL])
        if flags & Local.ECHOK:
            output.echo(tty, NEWLINE)


def reprint(tty: Tty, byte: u8) -> None:
    """Show the typed line again on a new one."""
    output.echo(tty, byte)
    output.echo(tty, NEWLINE)
    tty.line_column = tty.column
    position = tty.input.line_end
    while position != tty.input.head:
        output.echo(tty, tty.input.at(position))
        position += 1


def is_word(byte: u8) -> bool:
    """Letters, digits, the underscore, and everything beyond ASCII."""
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 or byte == 95 or byte >= 128


def drop_character(tty: Tty) -> u8:
    """Remove the last character, of one byte or (IUTF8) of several; its first byte."""
    byte = tty.input.drop_last()
    while output.is_continuation(tty, byte) and tty.input.typed() > 0:
        byte = tty.input.drop_last()
    return byte


def wipe(tty: Tty, byte: u8) -> None:
    """Remove a character, which was just dropped from the line, from the screen."""
    if byte == TAB:
        column = typed_column(tty)
        output.step_back(tty, tty.column - column if tty.column > column else 0)
    else:
        output.rub_out(tty, output.echo_width(tty, byte, 0))


def typed_column(tty: Tty) -> u32:
    """The column after the echo of the typed line."""
    column = tty.line_column
    position: usize = tty.input.line_end
    while position != tty.input.head:
        column += output.echo_width(tty, tty.input.at(position), column)
        position += 1
    return column
