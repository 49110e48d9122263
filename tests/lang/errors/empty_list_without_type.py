# SPDX-License-Identifier: Apache-2.0
"""Refused: empty list without type."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    xs = []
    emit(int(len(xs)))
