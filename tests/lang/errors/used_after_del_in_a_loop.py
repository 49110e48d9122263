# SPDX-License-Identifier: Apache-2.0
"""Refused: use of a local that del took in an earlier round."""

from __future__ import annotations

from kaa.lang.testing import emit


class Item:
    value: int = 1


def case_bad() -> None:
    item = Item()
    for n in range(2):
        emit(item.value)
        del item
