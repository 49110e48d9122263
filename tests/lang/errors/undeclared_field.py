# SPDX-License-Identifier: Apache-2.0
"""Refused: undeclared field."""

from __future__ import annotations

from kaa.lang.testing import emit


class Point:
    x: int

    def __init__(self) -> None:
        self.x = 1
        self.y = 2


def case_bad() -> None:
    emit(Point().x)
