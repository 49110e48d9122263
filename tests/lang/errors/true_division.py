# SPDX-License-Identifier: Apache-2.0
"""Refused: true division."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    n = 9
    emit(int(n / 2))
