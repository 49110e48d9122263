# SPDX-License-Identifier: Apache-2.0
"""Refused: list element type."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    xs: list[bytes] = []
    xs.append(5)
    emit(int(len(xs)))
