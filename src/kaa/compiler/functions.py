# SPDX-License-Identifier: Apache-2.0
"""The functions that a module defines."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from kaa.compiler.source import unwrap


def functions_of(module: types.ModuleType) -> list[tuple[Callable[..., Any], type | None]]:
    """All plain functions and methods defined in a module, with their class."""
    out: list[tuple[Callable[..., Any], type | None]] = []
    for obj in vars(module).values():
        if getattr(obj, "__module__", None) != module.__name__:
            continue
        if isinstance(obj, types.FunctionType):
            out.append((obj, None))
        elif isinstance(obj, type) and not getattr(obj, "__parameters__", ()):
            for raw in vars(obj).values():
                fn = unwrap(raw)
                if not isinstance(fn, types.FunctionType) or fn.__module__ != module.__name__:
                    continue
                if not fn.__code__.co_filename.startswith("<"):
                    out.append((raw, obj))
    return out
