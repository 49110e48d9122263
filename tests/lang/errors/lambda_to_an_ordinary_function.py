# SPDX-License-Identifier: Apache-2.0
"""Refused: lambda to an ordinary function."""

from __future__ import annotations

from collections.abc import Callable

from kaa.lang.testing import emit


def apply(f: Callable[[int], int]) -> int:
    return f(1)


def case_bad() -> None:
    emit(apply(lambda n: n + 1))
