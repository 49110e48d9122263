# SPDX-License-Identifier: Apache-2.0
"""Refused: a local name for an array that is an Rcu field."""

from __future__ import annotations

from kaa.lang import Array, Rcu, RcuHead
from kaa.lang.testing import emit


class Thing(RcuHead):
    number: int = 1


class Holder:
    things: Rcu[Array[Thing | None, 2]]

    def __init__(self) -> None:
        self.things = Array[Thing | None, 2]()


def case_row() -> None:
    holder = Holder()
    row = holder.things
    row[0] = Thing()
    emit(int(row[0] is None))
