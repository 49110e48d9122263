# SPDX-License-Identifier: Apache-2.0
"""Refused: signed to unsigned argument."""

from __future__ import annotations

from kaa.lang import i64, u64


def take(a: u64) -> None:
    pass


def case_bad() -> None:
    n: i64 = 3
    take(n)
