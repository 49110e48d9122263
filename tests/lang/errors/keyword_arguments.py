# SPDX-License-Identifier: Apache-2.0
"""Refused: keyword arguments."""

from __future__ import annotations

from kaa.lang.testing import emit


def named(**values: int) -> int:
    return 0


def case_bad() -> None:
    emit(named(a=1))
