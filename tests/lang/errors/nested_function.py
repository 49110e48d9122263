# SPDX-License-Identifier: Apache-2.0
"""Refused: nested function."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    def inner() -> int:
        return 1

    emit(inner())
