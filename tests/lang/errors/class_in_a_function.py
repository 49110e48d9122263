# SPDX-License-Identifier: Apache-2.0
"""Refused: class in a function."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    class Local:
        n: int = 0

    emit(Local().n)
