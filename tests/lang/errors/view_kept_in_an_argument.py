# SPDX-License-Identifier: Apache-2.0
"""Refused: a view of what only this function holds, stored in an argument."""

from __future__ import annotations

from kaa.lang import Bytes, struct, u64


@struct
class Cursor:
    data: Bytes


def fill(cursor: Cursor, n: u64) -> None:
    cursor.data = bytes(n)[1:]


def make(n: u64) -> Cursor:
    made = bytes(n)
    return Cursor(made[1:])


def case_bad() -> None:
    cursor = Cursor(b"")
    fill(cursor, 3)
    made = make(4)
    fill(made, 5)
