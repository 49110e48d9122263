# SPDX-License-Identifier: Apache-2.0
"""Refused: equality without eq."""

from __future__ import annotations

from kaa.lang.testing import emit


class Node:
    value: int = 0


def case_bad() -> None:
    emit(int(Node() == Node()))
