# SPDX-License-Identifier: Apache-2.0
"""What a function is called with, and what a call of it does, as far as users' numbers go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from kaa.compiler.proofs.user_values import Number


class Argument(NamedTuple):
    """What a function is called with: a user's number, or a place with the numbers in its fields (WHOLE: all are the
    user's)."""

    number: Number | None = None
    fields: tuple[tuple[str, Number], ...] = ()
    whole: bool = False


NOTHING = Argument()
Known = dict[tuple[int, str], Number]
"""By the argument's index, and its field's name."""
Context = tuple[Argument, ...]


@dataclass
class Summary:
    """What a call does, to its caller."""

    result: Number | None = None
    """The user's number that it gives, if one."""
    fields: tuple[tuple[str, Number], ...] = ()
    whole: bool = False
    """Likewise of the struct that it gives."""
    after: Known = field(default_factory=dict["tuple[int, str]", Number])
    """What is known of its arguments, and of fields of them, when it is over."""
    if_true: Known | None = None
    if_false: Known | None = None
    """The same where its result is true, and where it is false; None: it never is."""
    fills: set[int] = field(default_factory=set[int])
    """Arguments that name places which it fills with what the user has."""
    fetches: set[tuple[int, str]] = field(default_factory=set[tuple[int, str]])
    """Arguments, or fields of them, that are addresses which it reads from."""

    @property
    def is_plain(self) -> bool:
        """Does it bring nothing of the user's?"""
        return self.result is None and not self.whole and not self.fields and not self.fills


def joined(a: Known, b: Known) -> Known:
    return {i: a[i].join(b[i]) for i in a.keys() & b.keys()}


def joined_fields(a: dict[str, Number], b: dict[str, Number]) -> dict[str, Number]:
    return {n: a[n].join(b[n]) if n in a and n in b else (a.get(n) or b[n]) for n in {**a, **b}}


__all__ = ["NOTHING", "Argument", "Context", "Known", "Summary", "joined", "joined_fields"]
