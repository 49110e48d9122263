# SPDX-License-Identifier: Apache-2.0
"""Refused: star arguments."""

from __future__ import annotations

from kaa.lang.testing import emit


def sum_of(*values: int) -> int:
    return 0


def case_bad() -> None:
    emit(sum_of(1, 2))
