# SPDX-License-Identifier: Apache-2.0
"""Refused: power."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    n = 3
    emit(n**2)
