# SPDX-License-Identifier: Apache-2.0
"""Numbers that came from user space, and what is known of them at one place of a function.

A Number is an interval, and whether anything was compared with it yet. Numbers belong to *values* (integers that name
what an instruction made): variables that are copies, or wider casts, of each other name one value, so that comparing
one bounds all. Values that the user has no part in have no entry: they are *trusted*, and taken to be sizes and counts
of the kernel, between 0 and TRUST.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from kaa.compiler.ir import Var

TRUST = 1 << 47
STEPS = (-(1 << 63), -(1 << 31), 0, 255, 65535, 1 << 24, (1 << 31) - 1, (1 << 32) - 1, TRUST, (1 << 63) - 1, (1 << 64) - 1)  # fmt: skip
Key = tuple[Var, str]
"""A field of what a variable names."""


class Number(NamedTuple):
    """What a user's number can be. `checked`: it was compared with a bound, masked, or cut."""

    low: int
    high: int
    checked: bool = False

    def join(self, other: Number) -> Number:
        """Either of two."""
        return Number(min(self.low, other.low), max(self.high, other.high), self.checked and other.checked)

    def meet(self, other: Number) -> Number:
        """Both of two things that are known of it."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Number(low, max(low, high), self.checked or other.checked)

    def widened(self, known: Number) -> Number:
        """After several rounds of a loop: bounds that still move go to the next of a few steps."""
        low = self.low if self.low >= known.low else max(s for s in STEPS if s <= self.low)
        high = self.high if self.high <= known.high else min(s for s in STEPS if s >= self.high)
        return Number(low, high, self.checked)


class Operand(NamedTuple):
    """An operand: a user's value (`value` not 0), a constant, or (neither) something trusted."""

    value: int = 0
    constant: int | None = None


TRUSTED = Operand()


class Condition(NamedTuple):
    """What a bool variable says: `left op right`, or the outcome of a callee's checks (`outcome`: value → number)."""

    op: str
    left: Operand
    right: Operand
    outcome: tuple[tuple[int, Number, Number], ...] = ()
    negated: bool = False


@dataclass
class State:
    """What is known at one place."""

    names: dict[Var, int] = field(default_factory=dict[Var, int])
    """The values of variables that hold users' numbers."""
    numbers: dict[int, Number] = field(default_factory=dict[int, Number])
    fields: dict[Key, int] = field(default_factory=dict[Key, int])
    """The values of fields; 0: trusted, although its place is the user's."""
    places: frozenset[Var] = frozenset()
    """Structs and arrays that were filled by the user."""
    bools: dict[Var, Condition | bool] = field(default_factory=dict[Var, "Condition | bool"])
    less: frozenset[tuple[int, int]] = frozenset()
    """Pairs of values: the first is not above the second."""
    sums: frozenset[tuple[int, int, int]] = frozenset()
    """(a, b, c): a + b is not above the number c."""
    rests: dict[int, tuple[int, int]] = field(default_factory=dict[int, "tuple[int, int]"])
    """Values that are a number minus a value: (number, value)."""
    fetched: dict[int, int] = field(default_factory=dict[int, int])
    """Addresses that were read from: value → line."""

    def copy(self) -> State:
        return State(
            dict(self.names), dict(self.numbers), dict(self.fields), self.places, dict(self.bools), self.less,
            self.sums, dict(self.rests), dict(self.fetched),
        )  # fmt: skip

    def number(self, operand: Operand) -> Number:
        """The interval of an operand."""
        if operand.value:
            return self.numbers[operand.value]
        if operand.constant is not None:
            return Number(operand.constant, operand.constant, True)
        return Number(0, TRUST, True)

    # ---- joining -----------------------------------------------------------------------------------------------------

    def merge(self, other: State, fresh: dict[object, int], counter: list[int], widen: bool) -> bool:
        """Takes in another way here; True if that changed anything. `fresh` remembers this place's joined values."""
        pairs: dict[tuple[int, int], int] = {}
        changed = False

        def joined(where: object, mine: int, theirs: int) -> int:
            nonlocal changed
            if (mine, theirs) in pairs:
                return pairs[mine, theirs]
            a, b = self.numbers.get(mine), other.numbers.get(theirs)
            if a is None or b is None:
                known = a or b
                assert known is not None
                both = known  # trusted on the other way: small
            else:
                both = a.join(b)
            if mine == theirs and a is not None:
                target = mine
            else:
                if where not in fresh:
                    counter[0] += 1
                    fresh[where] = counter[0]
                target = fresh[where]
            before = self.numbers.get(target)
            if before is not None:
                both = before.join(both)
                if widen:
                    both = both.widened(before)
            if before != both:
                numbers[target] = both
                changed = True
            pairs[mine, theirs] = target
            return target

        numbers: dict[int, Number] = {}
        names = {v: joined(v, self.names.get(v, 0), other.names.get(v, 0)) for v in {**self.names, **other.names}}
        fields: dict[Key, int] = {}
        for k in {**self.fields, **other.fields}:
            mine, theirs = self.fields.get(k), other.fields.get(k)
            if mine is None and theirs is None:
                continue
            if not mine and not theirs:
                if mine is not None and theirs is not None:
                    fields[k] = 0
                continue
            fields[k] = joined(k, mine or 0, theirs or 0)
        bools = {v: c for v, c in self.bools.items() if other.bools.get(v) == c}
        places, less, sums = self.places | other.places, self.less & other.less, self.sums & other.sums
        rests = {v: r for v, r in self.rests.items() if other.rests.get(v) == r}
        fetched = {**self.fetched, **other.fetched}
        changed |= (
            names != self.names or fields != self.fields or bools != self.bools or places != self.places
            or less != self.less or sums != self.sums or rests != self.rests or len(fetched) != len(self.fetched)
        )  # fmt: skip
        for value in {*names.values(), *fields.values()}:
            if value and value not in numbers and value not in self.numbers:
                numbers[value] = other.numbers[value]
        self.numbers.update(numbers)
        for value, number in other.numbers.items():
            self.numbers.setdefault(value, number)
        self.names, self.fields, self.bools, self.places, self.less = names, fields, bools, places, less
        self.sums, self.rests, self.fetched = sums, rests, fetched
        return changed

    # ---- conditions --------------------------------------------------------------------------------------------------

    def assume(self, condition: Condition, truth: bool) -> None:
        """The condition is (not) true."""
        truth ^= condition.negated
        for value, yes, no in condition.outcome:
            if value in self.numbers:
                self.numbers[value] = self.numbers[value].meet(yes if truth else no)
        if not condition.op:
            return
        op = condition.op if truth else _OPPOSITE[condition.op]
        left, right = condition.left, condition.right
        self._bound(left, right, op)
        self._bound(right, left, _MIRROR[op])
        if op in ("<", "<="):
            self._order(left, right)
        elif op in (">", ">="):
            self._order(right, left)

    def _order(self, small: Operand, big: Operand) -> None:
        if small.value and big.value:
            self.less |= {(small.value, big.value)}
        if small.value and big.value in self.rests:
            number, other = self.rests[big.value]
            self.sums |= {(small.value, other, number), (other, small.value, number)}

    def _bound(self, one: Operand, other: Operand, op: str) -> None:
        """Narrows `one`, given `one op other`."""
        if not one.value:
            return
        known, bound = self.numbers[one.value], self.number(other)
        certain = other.constant is not None or not other.value or bound.checked
        match op:
            case "<":
                known = known.meet(Number(known.low, bound.high - 1, certain))
            case "<=":
                known = known.meet(Number(known.low, bound.high, certain))
            case ">":
                known = known.meet(Number(bound.low + 1, known.high))
            case ">=":
                known = known.meet(Number(bound.low, known.high))
            case "==":
                known = known.meet(Number(bound.low, bound.high, certain))
            case _:
                if other.constant is not None and known.low == other.constant and known.low < known.high:
                    known = Number(known.low + 1, known.high, known.checked)
                elif other.constant is not None and known.high == other.constant and known.low < known.high:
                    known = Number(known.low, known.high - 1, known.checked)
        self.numbers[one.value] = known


_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_MIRROR = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


__all__ = ["STEPS", "TRUST", "TRUSTED", "Condition", "Number", "Operand", "State"]
