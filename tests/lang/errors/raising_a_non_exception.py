# SPDX-License-Identifier: Apache-2.0
"""Refused: raising a non exception."""

from __future__ import annotations


class Node:
    value: int = 0


def case_bad() -> None:
    raise Node
