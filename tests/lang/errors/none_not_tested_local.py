# SPDX-License-Identifier: Apache-2.0
"""Refused: none not tested local."""

from __future__ import annotations

from kaa.lang.testing import emit


class Node:
    value: int = 0


def find(n: int) -> Node | None:
    return None


def case_bad() -> None:
    node = find(3)
    emit(node.value)
