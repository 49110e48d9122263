# SPDX-License-Identifier: Apache-2.0
"""Refused: async function."""

from __future__ import annotations

from kaa.lang.testing import emit


async def work() -> None:
    emit(1)


def case_bad() -> None:
    work()
