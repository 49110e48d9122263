# SPDX-License-Identifier: Apache-2.0
"""Refused: none not tested."""

from __future__ import annotations

from kaa.lang.testing import emit


class Node:
    value: int = 0
    next: Node | None = None


def case_bad() -> None:
    node = Node()
    emit(node.next.value)
