# SPDX-License-Identifier: Apache-2.0
"""Refused: optional integer."""

from __future__ import annotations

from kaa.lang import u32
from kaa.lang.testing import emit


def find(n: int) -> u32 | None:
    return None


def case_bad() -> None:
    emit(int(find(1) is None))
