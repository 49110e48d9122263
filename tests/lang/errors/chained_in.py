# SPDX-License-Identifier: Apache-2.0
"""Refused: in as a part of a chained comparison."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    a = 1
    emit(int(1 <= a in (1, 2)))
