# SPDX-License-Identifier: Apache-2.0
"""Refused: eval call."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    emit(eval("1 + 1"))
