# SPDX-License-Identifier: Apache-2.0
"""Refused: identity of numbers."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    n = 1000
    m = 1000
    emit(int(n is m))
