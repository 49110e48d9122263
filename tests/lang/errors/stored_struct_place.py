# SPDX-License-Identifier: Apache-2.0
"""Refused: stored struct place."""

from __future__ import annotations

from kaa.lang import struct, u32
from kaa.lang.testing import emit


@struct
class Times:
    a: u32


class Owner:
    times: Times

    def __init__(self) -> None:
        self.times = Times()

    def take(self, other: Owner) -> None:
        self.times = other.times


def case_bad() -> None:
    a, b = Owner(), Owner()
    a.take(b)
    emit(a.times.a)
