# SPDX-License-Identifier: Apache-2.0
"""Refused: local changes type."""

from __future__ import annotations

from kaa.lang.testing import emit


class Node:
    value: int = 0


def case_bad() -> None:
    x = 5
    emit(x)
    x = Node()
    emit(x.value)
