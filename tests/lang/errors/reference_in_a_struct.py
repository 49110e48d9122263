# SPDX-License-Identifier: Apache-2.0
"""Refused: reference in a struct."""

from __future__ import annotations

from kaa.lang import sizeof, struct
from kaa.lang.testing import emit


class Node:
    value: int = 0


@struct
class Slot:
    node: Node


def case_bad() -> None:
    emit(int(sizeof(Slot)))
