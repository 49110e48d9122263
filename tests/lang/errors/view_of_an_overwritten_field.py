# SPDX-License-Identifier: Apache-2.0
"""Refused: a view that a function returned from a field, used after the field is overwritten."""

from __future__ import annotations

from kaa.lang import Bytes, u64
from kaa.lang.testing import emit


class Name:
    text: bytes

    def __init__(self, text: bytes) -> None:
        self.text = text

    def rest(self) -> Bytes:
        return self.text[1:]


def made(n: u64) -> bytes:
    return bytes(b"abcdefgh"[:n])


def case_good() -> None:
    name = Name(made(3))
    emit(name.rest()[0])
    name.text = made(5)
    emit(name.rest()[1])


def case_bad() -> None:
    name = Name(made(3))
    view = name.rest()
    name.text = made(5)
    emit(view[0])
