# SPDX-License-Identifier: Apache-2.0
"""Refused: constant index out of range."""

from __future__ import annotations

from kaa.lang import Array, u8
from kaa.lang.testing import emit


def case_bad() -> None:
    buffer = Array[u8, 4]()
    buffer[4] = 1
    emit(buffer[0])
