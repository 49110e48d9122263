# SPDX-License-Identifier: Apache-2.0
"""Refused: structs in a container, which moves them when it grows."""

from __future__ import annotations

from kaa.lang import struct, u32
from kaa.lang.testing import emit


@struct
class Point:
    x: u32


def case_bad() -> None:
    points: list[Point] = []
    points.append(Point(1))
    emit(points[0].x)
