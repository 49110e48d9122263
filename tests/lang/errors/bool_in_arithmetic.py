# SPDX-License-Identifier: Apache-2.0
"""Refused: bool in arithmetic."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    n = 3
    flag = n > 2
    emit(n + flag)
