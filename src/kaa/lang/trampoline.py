# SPDX-License-Identifier: Apache-2.0
"""Trampoline: any function behind the one signature i64 (u64 × 6), as a table of system calls needs it."""

from __future__ import annotations

import errno
import inspect
from collections.abc import Callable
from typing import Any

from kaa.lang.annotations import evaluate, strip_qualifiers
from kaa.lang.errors import errno_of
from kaa.lang.integers import i64, u64, width_of
from kaa.lang.structs import struct_class


class Trampoline:
    """`t(a, b, c, d, e, f)`: the words become `fn`'s parameters (a struct gets the word as its first field).

    None becomes 0; an OSError or MemoryError that escapes becomes -errno.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn

    def parameter_types(self) -> list[object]:
        """The parameters' types, evaluated."""
        namespace = getattr(self.fn, "__globals__", {})
        parameters = inspect.signature(self.fn).parameters.values()
        return [strip_qualifiers(evaluate(parameter.annotation, namespace)) for parameter in parameters]

    def __call__(self, *words: int) -> int:
        arguments = [_convert(kind, word) for kind, word in zip(self.parameter_types(), words, strict=False)]
        try:
            result = self.fn(*arguments)
        except MemoryError:
            return -errno.ENOMEM
        except OSError as error:
            return -errno_of(error)
        return 0 if result is None else i64(int(result))

    def __repr__(self) -> str:
        return f"Trampoline({self.fn.__qualname__})"


def _convert(kind: Any, word: int) -> Any:
    """A register's 64 bits as a parameter."""
    if struct_class(kind) is not None:
        return kind(u64(word))
    if kind is bool:
        return word & 1 != 0
    if getattr(kind, "__kaa_int__", None) is not None:
        return kind(word)
    width = width_of(getattr(kind, "__kaa_width__", kind))
    assert width is not None, f"a system call cannot take a parameter of type {kind!r}"
    low = getattr(kind, "__kaa_width__", i64)(word)
    return low if kind is int else kind(low)
