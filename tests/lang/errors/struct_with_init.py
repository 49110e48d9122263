# SPDX-License-Identifier: Apache-2.0
"""Refused: struct with init."""

from __future__ import annotations

from kaa.lang import struct, u32
from kaa.lang.testing import emit


@struct
class Pair:
    a: u32

    def __init__(self) -> None:
        self.a = 1


def case_bad() -> None:
    emit(Pair().a)
