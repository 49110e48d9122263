# SPDX-License-Identifier: Apache-2.0
"""Refused: unknown attribute."""

from __future__ import annotations

from kaa.lang.testing import emit


class Point:
    x: int = 1


def case_bad() -> None:
    emit(Point().z)
