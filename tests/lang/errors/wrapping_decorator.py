# SPDX-License-Identifier: Apache-2.0
"""Refused: wrapping decorator."""

from __future__ import annotations

from collections.abc import Callable

from kaa.lang.testing import emit


def logged(fn: Callable[[], None]) -> Callable[[], None]:
    def wrapper() -> None:
        fn()

    return wrapper


@logged
def work() -> None:
    emit(1)


def case_bad() -> None:
    work()
