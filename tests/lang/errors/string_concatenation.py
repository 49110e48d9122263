# SPDX-License-Identifier: Apache-2.0
"""Refused: string concatenation."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    name = "a" + "b"
    emit(int(len(name)))
