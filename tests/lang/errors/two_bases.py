# SPDX-License-Identifier: Apache-2.0
"""Refused: two bases."""

from __future__ import annotations

from kaa.lang.testing import emit


class A:
    n: int = 0


class B:
    m: int = 0


class C(A, B):
    pass


def case_bad() -> None:
    emit(C().n)
