# SPDX-License-Identifier: Apache-2.0
"""Decorators that tell the compiler something about a function, and calls that it knows.

Each decorator returns the very function it got, with a note in `fn.__kaa__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeVar, cast

F = TypeVar("F", bound="Callable[..., object]")
C = TypeVar("C", bound=type)


def note(fn: F, key: str, value: object) -> F:
    """Record `key: value` in fn.__kaa__."""
    notes = cast("dict[str, object]", fn.__dict__.setdefault("__kaa__", {}))
    notes[key] = value
    return fn


def export(symbol: str) -> Callable[[F], F]:
    """An entry point under a C symbol. It does not raise: an error that escapes traps."""
    return lambda fn: note(fn, "export", symbol)


def naked(text: str) -> Callable[[F], F]:
    """A whole function in assembly (SysV ABI); the Python body is its stand-in under CPython."""
    return lambda fn: note(fn, "naked", text)


def inline(fn: F) -> F:
    """Inlined at each call, before optimisation; may take lambdas and generators."""
    return note(fn, "inline", True)


def noinline(fn: F) -> F:
    """Never inlined."""
    return note(fn, "noinline", True)


def cold(fn: F) -> F:
    """Rarely run: kept out of the way of hot code."""
    return note(fn, "cold", True)


def borrowed(fn: F) -> F:
    """The result is borrowed from what outlives the caller: no count is touched."""
    return note(fn, "borrowed", True)


def width(integer: type[int]) -> Callable[[C], C]:
    """The machine integer that holds members of an enum class."""

    def decorate(cls: C) -> C:
        cls.__kaa_width__ = integer  # type: ignore[attr-defined]
        return cls

    return decorate


def unreachable() -> NoReturn:
    """Trap: control cannot come here."""
    raise AssertionError("unreachable code was reached")
