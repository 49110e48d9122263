# SPDX-License-Identifier: Apache-2.0
"""`#!` scripts (execve(2), "Interpreter scripts").

The first line names an interpreter and at most one argument: everything after the first run of blanks, blanks at the
end taken off. A line longer than what was read is an error unless the interpreter's name itself ends within it.
"""

from __future__ import annotations

import errno
from typing import Final

from kaa.lang import Bytes, struct, usize

FIRST_BYTES: Final = 256
"""How much of a file is read to see what it is (BINPRM_BUF_SIZE in execve(2))."""
BLANK: Final = 0x20
TAB: Final = 0x09
NEWLINE: Final = 0x0A


@struct
class ScriptLine:
    """Positions in the first bytes of the file; an empty argument is none."""

    path_start: usize = 0
    path_end: usize = 0
    argument_start: usize = 0
    argument_end: usize = 0


def is_script(head: Bytes) -> bool:
    """Whether the file begins with `#!`."""
    return len(head) >= 2 and head[0] == 0x23 and head[1] == 0x21


def parse(head: Bytes, into: ScriptLine) -> None:
    """Find interpreter and argument in the file's first bytes (at most FIRST_BYTES, without trailing NULs). Raises
    OSError(ENOEXEC)."""
    end = _line_end(head)
    complete = end < len(head) or len(head) < FIRST_BYTES
    while end > 2 and _is_blank(head, end - 1):
        end -= 1
    start = _skip_blanks(head, 2, end)
    if start == end:
        raise OSError(errno.ENOEXEC)
    stop = start
    while stop < end and not _is_blank(head, stop):
        stop += 1
    if stop == end and not complete:
        raise OSError(errno.ENOEXEC)
    into.path_start = start
    into.path_end = stop
    into.argument_start = _skip_blanks(head, stop, end)
    into.argument_end = end


def _line_end(head: Bytes) -> usize:
    end: usize = 2
    while end < len(head) and head[end] != NEWLINE and head[end] != 0:
        end += 1
    return end


def _is_blank(head: Bytes, at: usize) -> bool:
    return head[at] == BLANK or head[at] == TAB


def _skip_blanks(head: Bytes, start: usize, end: usize) -> usize:
    at = start
    while at < end and _is_blank(head, at):
        at += 1
    return at
