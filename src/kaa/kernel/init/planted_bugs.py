# SPDX-License-Identifier: Apache-2.0
"""Bugs on purpose: `kaa.bug=KIND` on the command line makes the kernel commit one of each kind, late in the boot.

The tests use it to see that every kind of bug ends in a Python traceback that names this file, the function and the
line (docs/language.md, "Bugs trap"). The values come from fields, so that neither compiler can see the bug coming.
"""

from __future__ import annotations

from kaa.kernel import log
from kaa.lang import Array, Bytes, noinline, u8, u64, usize


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
    specimen.next = Specimen()
    if specimen.next is not None:
        forget()
        return specimen.next.zero
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


@noinline
def stack(depth: u64) -> u64:
    """Calls itself until the guard page below the kernel stack stops it."""
    specimen.numbers[0] = depth
    return stack(depth + 1) + specimen.numbers[0]


def plant(kind: Bytes) -> None:
    """Commits the bug that `kind` names; an unknown name is only told."""
    if kind == b"overflow":
        overflow()
    elif kind == b"index":
        index()
    elif kind == b"none":
        none()
    elif kind == b"divide":
        divide()
    elif kind == b"assert":
        failed_assertion()
    elif kind == b"stack":
        stack(0)
    else:
        log.warn(f"kaa.bug={kind}: no such bug; there are overflow, index, none, divide, assert and stack")
