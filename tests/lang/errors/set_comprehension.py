# SPDX-License-Identifier: Apache-2.0
"""Refused: set comprehension."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    emit(int(len({n % 3 for n in range(9)})))
