# SPDX-License-Identifier: Apache-2.0
"""Refused: unknown keyword."""

from __future__ import annotations

from kaa.lang.testing import emit


def add(a: int, b: int) -> int:
    return a + b


def case_bad() -> None:
    emit(add(1, c=2))
