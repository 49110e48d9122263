# SPDX-License-Identifier: Apache-2.0
"""Refused: recursive generator."""

from __future__ import annotations

from collections.abc import Iterator

from kaa.lang.testing import emit


def down(n: int) -> Iterator[int]:
    yield n
    if n > 0:
        yield from down(n - 1)


def case_bad() -> None:
    for n in down(3):
        emit(n)
