# SPDX-License-Identifier: Apache-2.0
"""Refused: dict comprehension."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    emit(int(len({n: n for n in range(9)})))
