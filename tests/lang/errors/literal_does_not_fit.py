# SPDX-License-Identifier: Apache-2.0
"""Refused: literal does not fit."""

from __future__ import annotations

from kaa.lang import u8
from kaa.lang.testing import emit


def case_bad() -> None:
    a: u8 = 300
    emit(a)
