# SPDX-License-Identifier: Apache-2.0
"""Refused: exception with arguments."""

from __future__ import annotations


class Stop(Exception):
    pass


def case_bad() -> None:
    raise Stop("because", 5)
