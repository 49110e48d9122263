# SPDX-License-Identifier: Apache-2.0
"""Refused: string in a field."""

from __future__ import annotations

from kaa.lang.testing import emit


class Named:
    name: str

    def __init__(self, n: int) -> None:
        self.name = f"name {n}"


def case_bad() -> None:
    emit(int(Named(1).name == ""))
