# SPDX-License-Identifier: Apache-2.0
"""Refused: generic without argument."""

from __future__ import annotations

from typing import Generic, TypeVar

from kaa.lang.testing import emit

T = TypeVar("T")


class Stack(Generic[T]):
    items: list[T]

    def __init__(self) -> None:
        self.items = []


def case_bad() -> None:
    stack = Stack()
    emit(int(len(stack.items)))
