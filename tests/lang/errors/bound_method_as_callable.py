# SPDX-License-Identifier: Apache-2.0
"""Refused: bound method as callable."""

from __future__ import annotations

from collections.abc import Callable

from kaa.lang.testing import emit


class Counter:
    n: int = 0

    def step(self, by: int) -> int:
        self.n += by
        return self.n


def apply(f: Callable[[int], int]) -> int:
    return f(1)


def case_bad() -> None:
    emit(apply(Counter().step))
