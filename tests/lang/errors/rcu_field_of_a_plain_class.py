# SPDX-License-Identifier: Apache-2.0
"""Refused: an Rcu field of a class that cannot be retired."""

from __future__ import annotations

from kaa.lang import Rcu
from kaa.lang.testing import emit


class Plain:
    number: int = 1


class Holder:
    plain: Rcu[Plain | None] = None


def case_plain() -> None:
    emit(int(Holder().plain is None))
