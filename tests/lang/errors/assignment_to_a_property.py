# SPDX-License-Identifier: Apache-2.0
"""Refused: assignment to a property."""

from __future__ import annotations

from kaa.lang.testing import emit


class Box:
    n: int = 0

    @property
    def double(self) -> int:
        return self.n * 2


def case_bad() -> None:
    box = Box()
    box.double = 4
    emit(box.n)
