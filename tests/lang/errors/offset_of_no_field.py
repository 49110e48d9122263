# SPDX-License-Identifier: Apache-2.0
"""Refused: where a field is that the struct does not have."""

from __future__ import annotations

from kaa.lang import offset_of, struct, u64
from kaa.lang.testing import emit


@struct
class Slot:
    node: u64 = 0


def case_bad() -> None:
    emit(int(offset_of(Slot, "name")))
