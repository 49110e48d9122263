# SPDX-License-Identifier: Apache-2.0
"""Refused: generator in a variable."""

from __future__ import annotations

from collections.abc import Iterator

from kaa.lang.testing import emit


def numbers() -> Iterator[int]:
    yield 1


def case_bad() -> None:
    kept = numbers()
    for n in kept:
        emit(n)
