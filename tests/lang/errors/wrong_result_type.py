# SPDX-License-Identifier: Apache-2.0
"""Refused: wrong result type."""

from __future__ import annotations

from kaa.lang.testing import emit


class Node:
    value: int = 0


def make() -> int:
    return Node()


def case_bad() -> None:
    emit(make())
