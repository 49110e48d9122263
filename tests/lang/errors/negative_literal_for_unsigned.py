# SPDX-License-Identifier: Apache-2.0
"""Refused: negative literal for unsigned."""

from __future__ import annotations

from kaa.lang import u32
from kaa.lang.testing import emit


def case_bad() -> None:
    a: u32 = 7
    a = a + -1
    emit(a)
