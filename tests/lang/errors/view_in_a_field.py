# SPDX-License-Identifier: Apache-2.0
"""Refused: view in a field."""

from __future__ import annotations

from kaa.lang import Bytes
from kaa.lang.testing import emit


class Named:
    name: Bytes

    def __init__(self, name: Bytes) -> None:
        self.name = name


def case_bad() -> None:
    emit(int(len(Named(b"abc").name)))
