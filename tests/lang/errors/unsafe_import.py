# SPDX-License-Identifier: Apache-2.0
"""Refused: unsafe import."""

from __future__ import annotations

from kaa.lang import u64
from kaa.lang.testing import emit
from kaa.lang.unsafe import Ptr


def case_bad() -> None:
    emit(int(Ptr[u64](4096)[0]))
