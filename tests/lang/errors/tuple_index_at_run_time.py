# SPDX-License-Identifier: Apache-2.0
"""Refused: tuple index at run time."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    pair = (1, 2)
    for n in range(2):
        emit(pair[n])
