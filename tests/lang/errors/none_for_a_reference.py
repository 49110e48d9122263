# SPDX-License-Identifier: Apache-2.0
"""Refused: none for a reference."""

from __future__ import annotations

from kaa.lang.testing import emit


class Node:
    value: int = 0


def show(node: Node) -> None:
    emit(node.value)


def case_bad() -> None:
    show(None)
