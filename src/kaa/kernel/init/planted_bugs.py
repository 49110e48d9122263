# SPDX-License-Identifier: Apache-2.0
"""Bugs on purpose: `kaa.bug=KIND` on the command line makes the kernel commit one of each kind, late in the boot.

The tests use it to see that every kind of bug ends in a Python traceback that names this file, the function and the
line (docs/language.md, "Bugs trap"). The values come from fields, so that neither compiler can see the bug coming.
"""

from __future__ import annotations

from kaa.kernel import log
from kaa.kernel.arch import machine
from kaa.kernel.init.command_line import boot_param, number
from kaa.lang import Array, Bytes, fatal, noinline, recursive, u8, u64, usize


class Specimen:
    """What the bugs are made of."""

    small: u8
    zero: u64
    place: usize
    numbers: Array[u64, 8]
    next: Specimen | None

    def __init__(self) -> None:
        self.small = 255
        self.zero = 0
        self.place = 8
        self.numbers = Array[u64, 8]()
        self.next = None


specimen = Specimen()


@noinline
def overflow() -> u64:
    """Adds beyond 255 in eight bits: OverflowError."""
    specimen.small = specimen.small + u8(1)
    return u64(specimen.small)


@noinline
def index() -> u64:
    """Reads the ninth of eight numbers: IndexError."""
    return specimen.numbers[specimen.place]


@noinline
def forget() -> None:
    """Drops what `none` has just looked at, as another task might."""
    specimen.next = None


@noinline
def none() -> u64:
    """Uses a field that became None after it was tested: AttributeError."""
    one = specimen
    one.next = Specimen()
    if one.next is not None:  # pyright: ignore[reportUnnecessaryComparison] - the bug needs a test that holds
        forget()
        return one.next.zero
    return u64(0)


@noinline
def divide() -> u64:
    """Divides by zero: ZeroDivisionError."""
    return u64(1) // specimen.zero


@noinline
def failed_assertion() -> u64:
    """Asserts what is not so: AssertionError."""
    assert specimen.zero == 1, "zero is not one"
    return specimen.zero


@recursive(1, "planted: it is there to run into the guard page")
@noinline
def stack(depth: u64) -> u64:
    """Calls itself until the guard page below the kernel stack stops it."""
    specimen.numbers[0] = depth
    return stack(depth + 1) + specimen.numbers[0]


class Wanted:
    """The kind that the command line asked for (empty: none), and the set of processors that commit it (0: the one that
    boots)."""

    kind: bytes = b""
    processors: u64 = 0


wanted = Wanted()
KINDS: list[bytes] = [b"overflow", b"index", b"none", b"divide", b"assert", b"stack"]


@boot_param("kaa.bug")
def choose(value: Bytes) -> None:
    """Remembers the kind; the bug comes later, when the kernel can tell of it."""
    for kind in KINDS:
        if kind == value:
            wanted.kind = kind
            return
    log.warn(f"kaa.bug={value}: no such bug; there are overflow, index, none, divide, assert and stack")


@boot_param("kaa.bug-on")
def choose_processors(value: Bytes) -> None:
    """kaa.bug-on=SET: the processors that commit the bug, all at once; bit n of the decimal number is processor n."""
    wanted.processors = u64(max(number(value), 0))


def check() -> None:
    """Commits the bug that was asked for, if one was. The boot calls this just before it starts pid 1."""
    if wanted.processors == 0:
        commit(0)
    else:
        machine.smp.call(wanted.processors, commit, 0)


@fatal
def commit(unused: u64) -> None:
    """Commits it here."""
    if wanted.kind == b"overflow":
        overflow()
    elif wanted.kind == b"index":
        index()
    elif wanted.kind == b"none":
        none()
    elif wanted.kind == b"divide":
        divide()
    elif wanted.kind == b"assert":
        failed_assertion()
    elif wanted.kind == b"stack":
        stack(0)
