# SPDX-License-Identifier: Apache-2.0
"""Refused: a place that a loop makes anew while another local names the one before."""

from __future__ import annotations

from kaa.lang import struct, u32
from kaa.lang.testing import emit


@struct
class Point:
    x: u32


def case_bad() -> None:
    previous = Point(1)
    for i in range(3):
        current = Point(u32(i))
        emit(previous.x)
        previous = current
