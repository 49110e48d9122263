# SPDX-License-Identifier: Apache-2.0
"""Numbers that came from user space, and what is known of them at one place of a function.

A Number is an interval, and whether anything was compared with it yet. Numbers belong to *values* (integers that name
what an instruction made): variables that are copies, or wider casts, of each other name one value, so that comparing
one bounds all. Values that the user has no part in have no entry: they are *trusted*, and taken to be sizes and counts
of the kernel, between 0 and TRUST.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kaa.compiler.ir import Var

TRUST = 1 << 47
STEPS = (
    -(1 << 63), -(1 << 31), 0, 255, 65535, 1 << 24, (1 << 31) - 1, (1 << 32) - 1, TRUST, (1 << 63) - 1, (1 << 64) - 1,
)  # fmt: skip
Key = tuple[Var, str]
"""A field of what a variable names."""


class Number(NamedTuple):
    """What a user's number can be. `checked`: it was compared with a bound, masked, or cut."""

    low: int
    high: int
    checked: bool = False

    def __str__(self) -> str:
        return f"{_shown(self.low)} … {_shown(self.high)}{', checked' if self.checked else ''}"

    def join(self, other: Number) -> Number:
        """Either of two."""
        return Number(min(self.low, other.low), max(self.high, other.high), self.checked and other.checked)

    def meet(self, other: Number) -> Number:
        """Both of two things that are known of it."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Number(low, max(low, high), self.checked or other.checked)

    def widened(self, known: Number) -> Number:
        """After several rounds of a loop: bounds that still move go to the next of a few steps. What was checked is
        not taken to run away."""
        low = self.low if self.low >= known.low else max(s for s in STEPS if s <= self.low)
        high = self.high
        if high > known.high:
            limit = TRUST if known.high >= 1 << 32 else 1 << 30
            high = max(limit, known.high) if self.checked else min(s for s in STEPS if s >= high)
        return Number(low, high, self.checked)


class Operand(NamedTuple):
    """An operand: a user's value (`value` not 0), a constant, or (neither) something trusted, up to `high`."""

    value: int = 0
    constant: int | None = None
    high: int = TRUST


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
    bools: dict[Var, Condition | int] = field(default_factory=dict[Var, "Condition | int"])
    """What variables are: conditions, and constants of this way here."""
    less: frozenset[tuple[int, int]] = frozenset()
    """Pairs of values: the first is not above the second."""
    sums: frozenset[tuple[int, int, int]] = frozenset()
    """(a, b, c): a + b is not above the number c."""
    rests: dict[int, tuple[int, int]] = field(default_factory=dict[int, "tuple[int, int]"])
    """Values that are a number minus a value: (number, value)."""
    near: dict[int, tuple[int, int, int]] = field(default_factory=dict[int, "tuple[int, int, int]"])
    """Values made from another one: (it, shift, slack): it is at most (this << shift) + slack. A shift of -1: this is
    it as an unsigned number of `slack` bits."""
    known: dict[object, int] = field(default_factory=dict[object, int])
    """Operations that were done: their values."""
    fetched: dict[int, int] = field(default_factory=dict[int, int])
    """Addresses that were read from: value → line."""

    def copy(self) -> State:
        return State(
            dict(self.names), dict(self.numbers), dict(self.fields), self.places, dict(self.bools), self.less,
            self.sums, dict(self.rests), dict(self.near), dict(self.known), dict(self.fetched),
        )  # fmt: skip

    def number(self, operand: Operand) -> Number:
        """The interval of an operand."""
        if operand.value:
            return self.numbers[operand.value]
        if operand.constant is not None:
            return Number(operand.constant, operand.constant, True)
        return Number(0, operand.high, True)

    # ---- joining -----------------------------------------------------------------------------------------------------

    def merge(self, other: State, fresh: dict[object, int], counter: list[int], widen: bool) -> bool:
        """Takes in another way here; True if that changed anything. `fresh` remembers this place's joined values."""
        return Join(self, other, fresh, counter, widen).into_first()

    # ---- conditions --------------------------------------------------------------------------------------------------

    def assume(self, condition: Condition, truth: bool) -> None:
        """The condition is (not) true."""
        truth ^= condition.negated
        for value, yes, no in condition.outcome:
            if value in self.numbers:
                self.narrow(value, self.numbers[value].meet(yes if truth else no))
        if not condition.op:
            return
        op = condition.op if truth else OPPOSITE[condition.op]
        left, right = condition.left, condition.right
        self._bound(left, right, op)
        self._bound(right, left, _MIRROR[op])
        if op in ("<", "<="):
            self.order(left, right)
        elif op in (">", ">="):
            self.order(right, left)

    def is_below(self, small: int, big: int) -> bool:
        """Is a value known not to be above another?"""
        if not small or not big:
            return False
        if small == big:
            return True
        seen, work = {small}, [small]
        while work:
            one = work.pop()
            if one == big:
                return True
            for a, b in self.less:
                if a == one and b not in seen:
                    seen.add(b)
                    work.append(b)
        return False

    def order(self, small: Operand, big: Operand) -> None:
        """`small` is not above `big`."""
        if small.value and big.value and small.value != big.value:
            self.less |= {(small.value, big.value)}
        if small.value and big.value in self.rests:
            number, other = self.rests[big.value]
            self.sums |= {(small.value, other, number), (other, small.value, number)}
            for value in (small.value, other):  # together they are below a number
                known = self.numbers[value]
                self.numbers[value] = Number(known.low, known.high, True)

    def _bound(self, one: Operand, other: Operand, op: str) -> None:
        """Narrows `one`, given `one op other`."""
        if not one.value:
            return
        known, bound = self.numbers[one.value], self.number(other)
        certain = other.constant is not None or not other.value or bound.checked
        if not other.value and other.constant is None and 65535 < known.high < 1 << 32:
            bound = Number(0, min(bound.high, 1 << 29), True)  # a size of the kernel is far from the ends of its type
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
        self.narrow(one.value, known)

    def narrow(self, value: int, number: Number) -> None:
        """More is known of a value, and so of what it was made from."""
        self.numbers[value] = number
        if number.low >= 0:
            for made, (of, shift, _) in self.near.items():
                if of == value and shift < 0:  # as an unsigned number it is the same
                    self.less |= {(made, value), (value, made)}
        for _ in range(4):
            if value not in self.near:
                return
            value, shift, slack = self.near[value]
            if value not in self.numbers:
                return
            before = self.numbers[value]
            if shift < 0:  # the same bits as an unsigned number: if that is small, so is this
                if number.high >= (1 << slack) + before.low:
                    return
                number = self.numbers[value] = before.meet(number)
                continue
            high = (number.high << shift) + slack
            number = before.meet(Number(before.low, high, number.checked and high < before.high))
            self.numbers[value] = number

    def may_sum_to(self, a: int, b: int) -> int | None:
        """A number that the sum of two values is known not to be above."""
        found = [
            c
            for x, y, c in self.sums
            if (self.is_below(a, x) and self.is_below(b, y)) or (self.is_below(b, x) and self.is_below(a, y))
        ]
        return min(found, default=None)


def _shown(n: int) -> str:
    """Large powers of two as such."""
    for off, text in ((0, ""), (1, " - 1")):
        if n + off >= 1 << 20 and (n + off) & (n + off - 1) == 0:
            return f"2**{(n + off).bit_length() - 1}{text}"
    return f"-2**{(-n).bit_length() - 1}" if n < -(1 << 20) and -n & (-n - 1) == 0 else str(n)


OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_MIRROR = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class Join:
    """Two ways that meet: what both know, in the first."""

    def __init__(self, first: State, second: State, fresh: dict[object, int], counter: list[int], widen: bool) -> None:
        self.first, self.second = first, second
        self.fresh, self.counter, self.widen = fresh, counter, widen
        self.pairs: dict[tuple[int, int], int] = {}
        self.made: set[int] = set()
        self.numbers: dict[int, Number] = {}
        self.changed = False

    def _value(self, where: object, mine: int, theirs: int) -> int:
        """The value that stands for one of each way."""
        if (mine, theirs) in self.pairs:
            return self.pairs[mine, theirs]
        a, b = self.first.numbers.get(mine), self.second.numbers.get(theirs)
        known = a or b
        assert known is not None
        both = a.join(b) if a is not None and b is not None else known  # not known on one way: trusted, small
        target = mine or theirs
        if mine != theirs and mine and theirs:
            if where not in self.fresh:
                self.counter[0] += 1
                self.fresh[where] = self.counter[0]
            target = self.fresh[where]
            self.made.add(target)
        before = self.first.numbers.get(target)
        if before is not None:
            both = before.join(both)
            both = both.widened(before) if self.widen else both
        if before != both:
            self.numbers[target] = both
            self.changed = True
        self.pairs[mine, theirs] = target
        return target

    def _fields(self) -> dict[Key, int]:
        out: dict[Key, int] = {}
        for k in {**self.first.fields, **self.second.fields}:
            mine, theirs = self.first.fields.get(k), self.second.fields.get(k)
            if mine or theirs:
                out[k] = self._value(k, mine or 0, theirs or 0)
            elif mine is not None and theirs is not None:
                out[k] = 0
        return out

    def _facts(self, mine: frozenset[tuple[int, ...]], theirs: frozenset[tuple[int, ...]], n: int) -> frozenset[Any]:
        """What both ways know, or what one knows of values that the other way has not met."""
        here, there = self.first.numbers, self.second.numbers
        return frozenset(
            {f for f in mine if f in theirs or any(v not in there for v in f[:n])}
            | {f for f in theirs if f not in mine and any(v not in here for v in f[:n])}
        )

    def _by_value(self, mine: dict[int, Any], theirs: dict[int, Any]) -> dict[int, Any]:
        """The same of facts by value."""
        out = {v: x for v, x in mine.items() if theirs.get(v) == x or v not in self.second.numbers}
        out.update({v: x for v, x in theirs.items() if v not in self.first.numbers})
        return out

    def into_first(self) -> bool:
        """Writes it down; True if the first way knew otherwise."""
        a, b = self.first, self.second
        names = {v: self._value(v, a.names.get(v, 0), b.names.get(v, 0)) for v in {**a.names, **b.names}}
        fields = self._fields()
        bools = {v: c for v, c in a.bools.items() if b.bools.get(v) == c}
        places = a.places | b.places
        less, sums = self._facts(a.less, b.less, 2), self._facts(a.sums, b.sums, 2)
        rests, near = self._by_value(a.rests, b.rests), self._by_value(a.near, b.near)
        done = {o: v for o, v in a.known.items() if b.known.get(o) == v}
        fetched = {f: line for f, line in {**a.fetched, **b.fetched}.items() if f not in self.made}
        self.changed |= (
            names != a.names or fields != a.fields or bools != a.bools or places != a.places
            or less != a.less or sums != a.sums or rests != a.rests or len(fetched) != len(a.fetched)
            or near != a.near or done != a.known
        )  # fmt: skip
        for value in {*names.values(), *fields.values()}:
            if value and value not in self.numbers and value not in a.numbers:
                self.numbers[value] = b.numbers[value]
        a.numbers.update(self.numbers)
        for value, number in b.numbers.items():
            a.numbers.setdefault(value, number)
        a.names, a.fields, a.bools, a.places, a.less = names, fields, bools, places, less
        a.sums, a.rests, a.fetched, a.near, a.known = sums, rests, fetched, near, done
        return self.changed


__all__ = ["OPPOSITE", "STEPS", "TRUST", "TRUSTED", "Condition", "Number", "Operand", "State"]
