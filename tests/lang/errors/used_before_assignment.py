# SPDX-License-Identifier: Apache-2.0
"""Refused: used before assignment."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    n = 4
    if n > 5:
        x = 3
    emit(x)
