# SPDX-License-Identifier: Apache-2.0
"""Refused: unpacking of the wrong length."""

from __future__ import annotations

from kaa.lang.testing import emit


def pair() -> tuple[int, int]:
    return 1, 2


def case_bad() -> None:
    a, b, c = pair()
    emit(a + b + c)
