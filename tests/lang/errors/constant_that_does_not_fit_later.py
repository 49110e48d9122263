# SPDX-License-Identifier: Apache-2.0
"""Refused: a constant whose local turns out to be too narrow for it."""

from __future__ import annotations

from kaa.lang import u8, u64
from kaa.lang.testing import emit


def case_bad() -> None:
    n = 300
    x: u8 = 1
    emit(n + x)


def case_sign() -> None:
    n = -1
    y: u64 = 4
    emit(int(n == y))
