# SPDX-License-Identifier: Apache-2.0
"""Random expressions of known types, in two texts: for the compiler, and for CPython with the checks written out.

The generator knows the type of each expression, so where native code checks for overflow the CPython text says
`_c(bits, signed, …)`, which raises Trap, and `_d(x)` where native code looks for a zero divisor.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import NamedTuple

WIDTHS = (8, 16, 32, 64)


class Type(NamedTuple):
    """A machine integer type."""

    bits: int
    signed: bool

    @property
    def name(self) -> str:
        return f"{'i' if self.signed else 'u'}{self.bits}"

    @property
    def least(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def greatest(self) -> int:
        return (1 << (self.bits - self.signed)) - 1


TYPES = [Type(bits, signed) for bits in WIDTHS for signed in (False, True)]
LIKELY = [1, 1, 2, 2, 6, 6, 6, 6]
"""Narrow types overflow soon, and a program that traps tests little."""


class Expression(NamedTuple):
    """One expression in both texts. A literal has no type of its own: `literal` says so."""

    native: str
    oracle: str
    literal: bool = False

FIELDS = {"small": Type(8, False), "number": Type(32, True), "wide": Type(64, False)}
"""The integer fields of a Box."""


@dataclass
class Function:
    """One generated function: its name and signature, for calls from later ones."""

    name: str
    parameters: list[Type]
    result: Type


@dataclass
class Expressions:
    """Makes expressions of a wanted type from the locals there are."""

    rng: random.Random
    functions: list[Function] = field(default_factory=list)
    locals: dict[str, Type] = field(default_factory=dict)

    def type(self) -> Type:
        return self.rng.choices(TYPES, LIKELY)[0]

    # ---- expressions -----------------------------------------------------------------------------------------------

    def literal(self, t: Type) -> Expression:
        extreme = self.rng.choice([t.greatest, t.greatest - 1, t.least, self.rng.randint(t.least, t.greatest)])
        near = extreme if self.rng.random() < 0.12 else self.rng.choice([0, 1, 2, 3, 5, 7, 12])
        value = max(t.least, min(t.greatest, near))
        text = f"({value})" if value < 0 else str(value)
        return Expression(text, text, literal=True)

    def expression(self, t: Type, depth: int) -> Expression:
        """An expression of exactly this type (or a literal that fits it)."""
        if depth <= 0:
            return self.leaf(t)
        make = self.rng.choice(
            [self.leaf, self.arithmetic, self.arithmetic, self.bitwise, self.division, self.shift, self.conversion]
            + [self.conditional, self.wrapping, self.extreme, self.call, self.negation]
        )
        return make(t) if make == self.leaf else make(t, depth - 1)  # type: ignore[call-arg, arg-type]

    def leaf(self, t: Type) -> Expression:
        names = [name for name, kind in self.locals.items() if kind == t]
        names += [f"box.{name}" for name, kind in FIELDS.items() if kind == t]
        if names and self.rng.random() < 0.75:
            name = self.rng.choice(names)
            return Expression(name, name)
        return self.literal(t)

    def typed(self, t: Type, depth: int) -> Expression:
        """An expression that is no bare literal."""
        made = self.expression(t, depth)
        return Expression(f"{t.name}({made.native})", f"{t.name}({made.oracle})") if made.literal else made

    def narrower(self, t: Type, depth: int) -> Expression:
        """An operand that converts freely to t."""
        fits = [o for o in TYPES if o.bits < t.bits and (o.signed == t.signed or t.signed)]
        if fits and self.rng.random() < 0.25:
            return self.typed(self.rng.choice(fits), depth)
        return self.expression(t, depth)

    def checked(self, t: Type, native: str, oracle: str) -> Expression:
        return Expression(native, f"_c({t.bits}, {t.signed}, {oracle})")

    def arithmetic(self, t: Type, depth: int) -> Expression:
        a, b = self.typed(t, depth), self.narrower(t, depth)
        op = self.rng.choice("++++----*" if t.signed else "++++++++-*")
        return self.checked(t, f"({a.native} {op} {b.native})", f"({a.oracle} {op} {b.oracle})")

    def bitwise(self, t: Type, depth: int) -> Expression:
        a, b, op = self.typed(t, depth), self.expression(t, depth), self.rng.choice("&|^")
        return Expression(f"({a.native} {op} {b.native})", f"({a.oracle} {op} {b.oracle})")

    def division(self, t: Type, depth: int) -> Expression:
        a, b, op = self.typed(t, depth), self.expression(t, depth), self.rng.choice(["//", "%"])
        if b.literal or self.rng.random() < 0.9:
            b = Expression(f"({b.native} & 15 | 1)", f"({b.oracle} & 15 | 1)")
        return self.checked(t, f"({a.native} {op} {b.native})", f"({a.oracle} {op} _d({b.oracle}))")

    def shift(self, t: Type, depth: int) -> Expression:
        a, n = self.typed(t, depth), self.rng.randrange(t.bits)
        if self.rng.random() < 0.7:
            return Expression(f"({a.native} >> {n})", f"({a.oracle} >> {n})")
        return self.checked(t, f"({a.native} << {n % 5})", f"({a.oracle} << {n % 5})")

    def conversion(self, t: Type, depth: int) -> Expression:
        inner = self.typed(self.type(), depth)
        return Expression(f"{t.name}({inner.native})", f"{t.name}({inner.oracle})")

    def negation(self, t: Type, depth: int) -> Expression:
        if not t.signed:
            a = self.typed(t, depth)
            return Expression(f"{t.name}(~{a.native})", f"{t.name}(~{a.oracle})")
        a = self.typed(t, depth)
        return self.checked(t, f"(-{a.native})", f"(-{a.oracle})")

    def conditional(self, t: Type, depth: int) -> Expression:
        test, a, b = self.condition(depth), self.typed(t, depth), self.expression(t, depth)
        return Expression(
            f"({a.native} if {test.native} else {b.native})", f"({a.oracle} if {test.oracle} else {b.oracle})"
        )

    def wrapping(self, t: Type, depth: int) -> Expression:
        a, b, op = self.typed(t, depth), self.expression(t, depth), self.rng.choice(["add", "sub", "mul"])
        return Expression(
            f"wrapping_{op}({a.native}, {b.native})", f"wrapping_{op}({t.name}({a.oracle}), {b.oracle})"
        )

    def extreme(self, t: Type, depth: int) -> Expression:
        a, b, op = self.typed(t, depth), self.expression(t, depth), self.rng.choice(["min", "max"])
        return Expression(f"{op}({a.native}, {b.native})", f"{op}({a.oracle}, {b.oracle})")

    def call(self, t: Type, depth: int) -> Expression:
        candidates = [f for f in self.functions if f.result == t]
        if not candidates:
            return self.leaf(t)
        callee = self.rng.choice(candidates)
        arguments = [self.expression(p, min(depth, 1)) for p in callee.parameters]
        native, oracle = (", ".join(a[side] for a in arguments) for side in (0, 1))
        return Expression(f"{callee.name}({native})", f"{callee.name}({oracle})")

    def condition(self, depth: int) -> Expression:
        if depth > 0 and self.rng.random() < 0.25:
            a, b, op = self.condition(depth - 1), self.condition(depth - 1), self.rng.choice(["and", "or"])
            return Expression(f"({a.native} {op} {b.native})", f"({a.oracle} {op} {b.oracle})")
        if self.rng.random() < 0.1:
            a = self.condition(depth - 1)
            return Expression(f"(not {a.native})", f"(not {a.oracle})")
        t = self.type()
        a, b = self.typed(t, depth - 1), self.expression(t, depth - 1)
        op = self.rng.choice(["<", "<=", "==", "!=", ">", ">="])
        return Expression(f"{a.native} {op} {b.native}", f"{a.oracle} {op} {b.oracle}")
