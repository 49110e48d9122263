# SPDX-License-Identifier: Apache-2.0
"""Refused: assignment to a constant."""

from __future__ import annotations

from kaa.lang.testing import emit

LIMIT = 5


class Box:
    LIMIT = 6


def case_bad() -> None:
    box = Box()
    box.LIMIT = 7
    emit(box.LIMIT)
