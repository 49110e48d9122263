# SPDX-License-Identifier: Apache-2.0
"""Random small programs, each in two texts: for the compiler, and for CPython with all checks written out.

The generator knows the type of each expression, so where native code checks for overflow the CPython text says
`_c(bits, signed, …)`, which raises Trap, and `_d(x)` where it looks for a zero divisor. Both must emit the same
values and end alike: normally, with an exception, or with the same trap.
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


HEAD = '''# SPDX-License-Identifier: Apache-2.0
"""A random program."""

from __future__ import annotations

import errno

from kaa.lang import i8, i16, i32, i64, u8, u16, u32, u64, wrapping_add, wrapping_mul, wrapping_sub
from kaa.lang.testing import emit


class Stop(Exception):
    pass


class Halt(Stop):
    pass


class Box:
    small: u8 = 3
    number: i32 = -7
    wide: u64 = 1000
    next: Box | None = None

    def __init__(self, wide: u64) -> None:
        self.wide = wide

    def __enter__(self) -> Box:
        emit(1)
        return self

    def __exit__(self, *exc: object) -> None:
        emit(2)


def risky(n: i64) -> i64:
    if n & 7 == 1:
        raise Stop
    if n & 7 == 2:
        raise Halt
    if n & 7 == 3:
        raise OSError(errno.EIO)
    if n & 7 == 4:
        raise FileNotFoundError
    return n

'''
HANDLERS = ("Stop", "Halt", "OSError", "FileNotFoundError", "(Halt, FileNotFoundError)", "Exception")
FIELDS = {"small": Type(8, False), "number": Type(32, True), "wide": Type(64, False)}


@dataclass
class Function:
    """One generated function: its name and signature, for calls from later ones."""

    name: str
    parameters: list[Type]
    result: Type


@dataclass
class Generator:
    """Makes functions; `native` and `oracle` grow line by line."""

    rng: random.Random
    native: list[str] = field(default_factory=list)
    oracle: list[str] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    locals: dict[str, Type] = field(default_factory=dict)
    loops: int = 0
    indent: int = 1
    counter: int = 0
    has_list: bool = False

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

    # ---- statements ------------------------------------------------------------------------------------------------

    def line(self, native: str, oracle: str | None = None) -> None:
        self.native.append("    " * self.indent + native)
        self.oracle.append("    " * self.indent + (native if oracle is None else oracle))

    def both(self, template: str, made: Expression) -> None:
        self.line(template.replace("@", made.native), template.replace("@", made.oracle))

    def block(self, size: int) -> None:
        """An indented block of statements. Locals declared in it are not used after it."""
        outer = dict(self.locals)
        self.indent += 1
        for _ in range(self.rng.randint(1, size)):
            self.statement(size - 1)
        self.indent -= 1
        self.locals = outer

    def statement(self, size: int) -> None:
        choices = [self.assign, self.assign, self.declare, self.report, self.report]
        choices += [self.augment, self.objects, self.lists]
        if size > 0 and self.indent < 5:
            choices += [self.branch, self.branch, self.loop, self.guarded, self.handled]
        if self.loops:
            choices.append(self.jump)
        self.rng.choice(choices)(size)

    def declare(self, size: int) -> None:
        t = self.type()
        made = self.expression(t, 2)
        self.counter += 1
        name = f"v{self.counter}"
        self.both(f"{name}: {t.name} = @", made)
        self.locals[name] = t

    def assign(self, size: int) -> None:
        name, t = self.rng.choice(list(self.locals.items()))
        source = self.rng.choice([o for o in TYPES if o.signed == t.signed])
        made = self.expression(source if source.bits > t.bits else t, 3)
        if made.literal:
            made = self.literal(t)
        self.line(f"{name} = {made.native}", f"{name} = _c({t.bits}, {t.signed}, {made.oracle})")

    def augment(self, size: int) -> None:
        targets = {**self.locals, **{f"box.{name}": t for name, t in FIELDS.items()}}
        name, t = self.rng.choice(list(targets.items()))
        op, made = self.rng.choice(["+", "-", "&", "|", "^"]), self.expression(t, 1)
        self.line(f"{name} {op}= {made.native}", f"{name} = _c({t.bits}, {t.signed}, {name} {op} {made.oracle})")

    def report(self, size: int) -> None:
        made = self.typed(self.type(), 2)
        self.both("emit(i64(@))", made)

    def objects(self, size: int) -> None:
        kind = self.rng.randrange(4)
        if kind == 0:
            self.both("box = Box(@)", self.expression(Type(64, False), 1))
        elif kind == 1:
            self.both("box.next = Box(@)", self.expression(Type(64, False), 1))
        elif kind == 2:
            self.line("if box.next is not None:")
            self.line("    box = box.next")
        else:
            self.line("box.next = None")

    def lists(self, size: int) -> None:
        kind = self.rng.randrange(4)
        if kind == 0:
            self.both("xs.append(@)", self.expression(Type(32, False), 1))
        elif kind == 1:
            self.line("if len(xs) > 2:")
            self.line("    emit(xs.pop())")
        elif kind == 2:
            self.both("xs[@ % 2] = 9", self.typed(Type(32, False), 1))
        else:
            self.line("for x in xs:")
            self.line("    emit(x)")

    def branch(self, size: int) -> None:
        self.both("if @:", self.condition(2))
        self.block(size)
        if self.rng.random() < 0.5:
            self.line("else:")
            self.block(size)

    def loop(self, size: int) -> None:
        self.counter += 1
        name = f"n{self.counter}"
        self.line(f"for k{self.counter} in range({self.rng.randint(1, 4)}):")
        self.line(f"    {name}: i64 = int(k{self.counter})")
        self.loops += 1
        self.locals[name] = Type(64, True)
        self.block(size)
        del self.locals[name]
        self.loops -= 1

    def jump(self, size: int) -> None:
        self.both("if @:", self.condition(1))
        self.line(f"    {self.rng.choice(['break', 'continue'])}")

    def guarded(self, size: int) -> None:
        self.line("with box:")
        self.block(size)

    def handled(self, size: int) -> None:
        self.line("try:")
        self.indent += 1
        self.both("emit(risky(@))", self.expression(Type(64, True), 1))
        self.indent -= 1
        self.block(size)
        for handler in self.rng.sample(HANDLERS[:-1], self.rng.randint(0, 2)):
            self.line(f"except {handler}:")
            self.block(1)
        if self.rng.random() < 0.7:
            self.line("except Exception:")
            self.block(1)
        else:
            self.line("finally:")
            loops, self.loops = self.loops, 0
            self.block(1)
            self.loops = loops

    # ---- functions -------------------------------------------------------------------------------------------------

    def function(self, number: int) -> None:
        """A function of a few parameters, which later ones may call."""
        made = Function(f"f{number}", [self.type() for _ in range(self.rng.randint(1, 3))], self.type())
        parameters = ", ".join(f"p{n}: {t.name}" for n, t in enumerate(made.parameters))
        self.indent = 0
        self.line("")
        self.line(f"def {made.name}({parameters}) -> {made.result.name}:")
        self.indent = 1
        for n, t in enumerate(made.parameters):
            self.oracle.append(f"    p{n} = _c({t.bits}, {t.signed}, p{n})")
        self.locals = {f"p{n}": t for n, t in enumerate(made.parameters)}
        self.body()
        self.both("return @", self.expression(made.result, 2))
        self.functions.append(made)

    def case(self, number: int) -> None:
        """An entry point that calls the functions."""
        self.indent = 0
        self.line("")
        self.line(f"def case_{number}() -> None:")
        self.indent = 1
        self.locals = {}
        self.line("box = Box(6)")
        self.declare(0)
        self.line("try:")
        self.indent = 2
        self.body()
        self.indent = 1
        self.line("except Exception:")
        self.line("    emit(-1)")

    def body(self) -> None:
        self.line("box = Box(5)")
        self.line("xs: list[u32] = [1, 2]")
        for _ in range(self.rng.randint(2, 6)):
            self.statement(3)


def program(seed: int, count: int) -> tuple[str, str]:
    """(native text, oracle text) of a module with cases 0 … count - 1."""
    made = Generator(random.Random(seed))
    for number in range(count):
        made.function(number)
        made.case(number)
    return HEAD + "\n".join(made.native) + "\n", HEAD + "\n".join(made.oracle) + "\n"
