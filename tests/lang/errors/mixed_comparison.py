# SPDX-License-Identifier: Apache-2.0
"""Refused: mixed comparison."""

from __future__ import annotations

from kaa.lang import i32, u64
from kaa.lang.testing import emit


def less(a: u64, b: i32) -> bool:
    return a < b


def case_bad() -> None:
    emit(int(less(1, 2)))
