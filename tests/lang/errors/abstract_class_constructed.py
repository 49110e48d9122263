# SPDX-License-Identifier: Apache-2.0
"""Refused: abstract class constructed."""

from __future__ import annotations

from abc import ABC, abstractmethod

from kaa.lang.testing import emit


class Shape(ABC):
    @abstractmethod
    def area(self) -> int: ...


def case_bad() -> None:
    emit(Shape().area())
