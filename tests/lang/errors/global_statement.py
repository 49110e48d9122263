# SPDX-License-Identifier: Apache-2.0
"""Refused: global statement."""

from __future__ import annotations

count = 0


def case_bad() -> None:
    global count
    count += 1
