# SPDX-License-Identifier: Apache-2.0
"""Refused: missing result type."""

from __future__ import annotations

from kaa.lang.testing import emit


def twice(n: int):
    return n * 2


def case_bad() -> None:
    emit(twice(4))
