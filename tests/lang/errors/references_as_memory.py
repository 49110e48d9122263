# SPDX-License-Identifier: Apache-2.0
"""Refused: references copied or filled as memory."""

from __future__ import annotations

from kaa.lang import Array, copy


class Item:
    pass


class Many:
    items: Array[Item | None, 3]

    def __init__(self) -> None:
        self.items = Array[Item | None, 3]()


def case_fill() -> None:
    Many().items[:].fill(None)


def case_copy() -> None:
    one, other = Many(), Many()
    one.items = other.items


def case_copied() -> None:
    one = copy(Many().items)


def case_local() -> None:
    some = Array[Item | None, 3]()
    some[0] = Item()
