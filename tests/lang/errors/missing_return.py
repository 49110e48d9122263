# SPDX-License-Identifier: Apache-2.0
"""Refused: missing return."""

from __future__ import annotations

from kaa.lang.testing import emit


def sign(n: int) -> int:
    if n > 0:
        return 1


def case_bad() -> None:
    emit(sign(1))
