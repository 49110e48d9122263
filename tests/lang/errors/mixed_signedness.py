# SPDX-License-Identifier: Apache-2.0
"""Refused: mixed signedness."""

from __future__ import annotations

from kaa.lang import i64, u64
from kaa.lang.testing import emit


def add(a: u64, b: i64) -> i64:
    return a + b


def case_bad() -> None:
    emit(add(1, 2))
