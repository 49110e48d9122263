# SPDX-License-Identifier: Apache-2.0
"""The person's terminal while the guest has it: raw, so that every key (Ctrl-C too) is the guest's, and given back as
it was."""

from __future__ import annotations

import contextlib
import os
import sys
import termios
import tty
from collections.abc import Generator

from rich.console import Console


def is_interactive() -> bool:
    """Whether the command gets one terminal: standard input and output both are terminals."""
    return os.isatty(0) and os.isatty(1)


def size() -> tuple[int, int]:
    """(rows, columns) of the terminal on standard output."""
    columns, rows = os.get_terminal_size(1)
    return rows, columns


def console(columns: int, stderr: bool = False, markup: bool = True) -> Console:
    """Where a table is printed; so many columns wide where that is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else columns, markup=markup)


@contextlib.contextmanager
def raw() -> Generator[None]:
    """Raw mode on standard input within the block."""
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
