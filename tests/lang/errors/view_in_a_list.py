# SPDX-License-Identifier: Apache-2.0
"""Refused: view in a list."""

from __future__ import annotations

from kaa.lang import Bytes
from kaa.lang.testing import emit


def case_bad() -> None:
    parts: list[Bytes] = []
    parts.append(b"abc"[1:])
    emit(int(len(parts)))
