# SPDX-License-Identifier: Apache-2.0
"""Refused: constant division by zero."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    n = 4
    emit(n // 0)
