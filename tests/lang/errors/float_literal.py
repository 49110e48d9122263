# SPDX-License-Identifier: Apache-2.0
"""Refused: float literal."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    half = 0.5
    emit(int(half * 4))
