# SPDX-License-Identifier: Apache-2.0
"""Refused: not callable."""

from __future__ import annotations


def case_bad() -> None:
    n = 5
    n()
