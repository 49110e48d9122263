# SPDX-License-Identifier: Apache-2.0
"""Refused: incompatible override."""

from __future__ import annotations

from kaa.lang.testing import emit


class Base:
    def area(self) -> int:
        return 0


class Derived(Base):
    def area(self, scale: int) -> int:
        return scale


def show(shape: Base) -> None:
    emit(shape.area())


def case_bad() -> None:
    show(Derived())
