# SPDX-License-Identifier: Apache-2.0
"""Refused: unknown method."""

from __future__ import annotations


class Point:
    x: int = 1


def case_bad() -> None:
    Point().move(3)
