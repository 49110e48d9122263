# SPDX-License-Identifier: Apache-2.0
"""Refused: unknown name."""

from __future__ import annotations

from kaa.lang.testing import emit


def case_bad() -> None:
    emit(nowhere)
