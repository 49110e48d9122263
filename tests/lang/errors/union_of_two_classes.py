# SPDX-License-Identifier: Apache-2.0
"""Refused: union of two classes."""

from __future__ import annotations

from kaa.lang.testing import emit


class A:
    n: int = 0


class B:
    n: int = 0


def show(x: A | B) -> None:
    emit(x.n)


def case_bad() -> None:
    show(A())
