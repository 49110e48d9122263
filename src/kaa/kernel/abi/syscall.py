# SPDX-License-Identifier: Apache-2.0
"""The table of system calls: numbers to functions.

A room declares a call where the thing it acts on lives::

    @syscall(x86_64=39, arm64=172)
    def getpid() -> i32:
        '''getpid(2): the caller's process id.'''

The decorator runs at import, so at build time: it wraps the function in a `Trampoline` (uniform signature, OSError
becomes -errno) and puts it into `TABLE`, which the entry code in arch indexes. Every slot is filled: a number that
nobody claims leads to `_absent`, so that the entry path has one bounds check and one indirect call.

Numbers: the x86-64 column is the one in the System V ABI's Linux binding, arm64's the generic table's (syscalls(2)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from kaa.lang import Array, Trampoline, cold, i32, i64

Fd = i32
"""A file descriptor as the caller passes it; the descriptor table judges it."""

TABLE_SIZE: Final = 512
MACHINE: Final = "x86_64"
"""Whose numbers `TABLE` is indexed by."""

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(eq=False)
class SystemCall:
    """What docs/syscalls.md says of one call. Import time only: nothing compiled reaches it."""

    name: str
    module: str
    x86_64: int | None
    arm64: int | None
    summary: str
    function: Callable[..., Any]


CALLS: list[SystemCall] = []
"""Every call, in order of registration; for the documentation and the tests."""


def syscall(*, x86_64: int | None = None, arm64: int | None = None) -> Callable[[_F], _F]:
    """Register the decorated function as a system call under the given numbers; None: not on that machine."""

    def register(function: _F) -> _F:
        _record(function, x86_64, arm64)
        number = x86_64 if MACHINE == "x86_64" else arm64
        if number is not None:
            _claim(number, function)
        return function

    return register


def _record(function: Callable[..., Any], x86_64: int | None, arm64: int | None) -> None:
    lines = (function.__doc__ or "").strip().splitlines()
    summary = lines[0] if lines else ""
    CALLS.append(SystemCall(function.__name__.rstrip("_"), function.__module__, x86_64, arm64, summary, function))


def _claim(number: int, function: Callable[..., Any]) -> None:
    if not 0 <= number < TABLE_SIZE:
        raise ValueError(f"system call {function.__name__}: number {number} is outside the table")
    if number in _claimed:
        raise ValueError(f"system call {number} is claimed by {_claimed[number]} and {function.__name__}")
    _claimed[number] = f"{function.__module__}.{function.__name__}"
    TABLE[number] = Trampoline(function)


_claimed: dict[int, str] = {}


@cold
def _absent() -> i64:
    from kaa.kernel.abi import unknown_calls
    from kaa.kernel.arch import machine

    registers = machine.context.user_registers(machine.percpu.current())
    return unknown_calls.refuse(registers.orig_rax)


TABLE: Array[Trampoline, TABLE_SIZE] = Array[Trampoline, TABLE_SIZE]()
for _number in range(TABLE_SIZE):
    TABLE[_number] = Trampoline(_absent)
