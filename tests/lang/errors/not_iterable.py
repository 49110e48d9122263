# SPDX-License-Identifier: Apache-2.0
"""Refused: not iterable."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    for n in 5:
        emit(n)
