# SPDX-License-Identifier: Apache-2.0
"""Random small programs, each in two texts (see random_expressions): both must emit the same values and end alike:
normally, with an exception, or with the same trap.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from random_expressions import FIELDS, TYPES, Expression, Expressions, Function, Type
from random_prelude import HEAD

HANDLERS = ("Stop", "Halt", "OSError", "FileNotFoundError", "(Halt, FileNotFoundError)", "Exception")


@dataclass
class Generator(Expressions):
    """Makes functions; `native` and `oracle` grow line by line."""

    native: list[str] = field(default_factory=list)
    oracle: list[str] = field(default_factory=list)
    loops: int = 0
    indent: int = 1
    counter: int = 0

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
        choices += [self.augment, self.objects, self.lists, self.structs, self.dictionaries, self.boxes, self.dispatch]
        choices += [self.tuples, self.text]
        if size > 0 and self.indent < 5:
            choices += [self.branch, self.branch, self.loop, self.guarded, self.handled, self.generated, self.matched]
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

    def structs(self, size: int) -> None:
        kind = self.rng.randrange(6)
        if kind == 0:
            made = self.expression(Type(16, False), 1)
            self.line(f"pair = Pair({made.native})", f"pair = Pair(_c(16, False, {made.oracle}))")
        elif kind == 1:
            self.both("pair.b = @", self.expression(Type(64, True), 2))
        elif kind == 2:
            at, value = self.typed(Type(32, False), 1), self.expression(Type(8, False), 1)
            self.line(f"pair.c[{at.native} % 4] = {value.native}", f"pair.c[{at.oracle} % 4] = {value.oracle}")
        elif kind == 3:
            self.line("emit(pair.b)")
            self.line("emit(pair.a)")
            self.line("for byte in pair.c:")
            self.line("    emit(byte)")
        elif kind == 4:
            self.line("pairs[1] = pair")
            self.line("pairs[1].a = pairs[0].a")
            self.line("pair = copy(pairs[1])")
        else:
            self.line("pairs[0].c = pair.c")
            self.line("emit(pairs[0].c[1])")

    def dictionaries(self, size: int) -> None:
        key, value = self.typed(Type(32, True), 1), self.expression(Type(64, True), 1)
        kind = self.rng.randrange(4)
        if kind == 0:
            self.line(f"table[{key.native} & 7] = {value.native}", f"table[{key.oracle} & 7] = {value.oracle}")
        elif kind == 1:
            get = "emit(table.get({}, {}))"
            self.line(get.format(key.native, value.native), get.format(key.oracle, value.oracle))
        elif kind == 2:
            self.both("if @ & 7 in table:", key)
            self.line("    table.clear()" if self.rng.random() < 0.2 else "    emit(77)")
        else:
            self.line("for key, value in table.items():")
            self.line("    emit(key)")
            self.line("    emit(value)")

    def boxes(self, size: int) -> None:
        kind = self.rng.randrange(6)
        if kind == 0:
            self.line("boxes.append(box)")
        elif kind == 1:
            self.both("boxes.append(Box(@))", self.expression(Type(64, False), 1))
        elif kind == 2:
            self.line("if boxes:")
            self.line("    box = boxes.pop()")
        elif kind == 3:
            self.line("for each in boxes:")
            self.line("    emit(each.small)")
            self.line("    each.next = None")
        elif kind == 4:
            self.both("found = find(boxes, @)", self.expression(Type(64, False), 1))
            self.line("emit(found.number if found is not None else -1)")
        else:
            self.line("if len(boxes) > 1:")
            self.line("    boxes[0], boxes[1] = boxes[1], boxes[0]")
            self.line("    del boxes[0]")

    def dispatch(self, size: int) -> None:
        kind = self.rng.randrange(3)
        if kind == 0:
            self.both("base = make(@)", self.expression(Type(64, True), 1))
        elif kind == 1:
            self.both("emit(base.twice(@))", self.expression(Type(64, True), 1))
        else:
            self.line("if isinstance(base, Right):")
            self.line("    base.extra = 9")
            self.line("elif isinstance(base, Left):")
            self.line("    base.value = 7")

    def tuples(self, size: int) -> None:
        a, b = self.expression(Type(64, True), 1), self.expression(Type(64, True), 1)
        self.counter += 1
        names = f"q{self.counter}", f"r{self.counter}"
        divide = f"{', '.join(names)} = divide({{}}, {{}})"
        self.line(divide.format(a.native, b.native), divide.format(a.oracle, b.oracle))
        for name in names:
            self.locals[name] = Type(64, True)

    def text(self, size: int) -> None:
        a, b = self.typed(Type(32, False), 1), self.typed(Type(64, False), 1)
        slice_of = "emit_bytes(TEXT[{} % 21 : {} % 21])"
        self.line(slice_of.format(a.native, b.native), slice_of.format(a.oracle, b.oracle))
        self.both("emit(TEXT.find(u8(@)))", self.typed(Type(8, False), 1))

    def generated(self, size: int) -> None:
        self.counter += 1
        name = f"g{self.counter}"
        self.both(f"for {name} in count(@):", self.expression(Type(64, True), 1))
        self.loops += 1
        self.locals[name] = Type(64, True)
        self.block(size)
        del self.locals[name]
        self.loops -= 1

    def matched(self, size: int) -> None:
        self.both("match @ & 7:", self.typed(self.type(), 1))
        self.indent += 1
        for pattern in self.rng.sample(["0", "1", "2 | 3", "4", "5 | 6"], self.rng.randint(1, 3)) + ["_"]:
            self.line(f"case {pattern}:")
            self.block(max(1, size - 1))
        self.indent -= 1

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
            self.line("except Exception:", "except (Stop, OSError):")
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
        self.line("except Exception:", "except (Stop, OSError):")
        self.line("    emit(-1)")

    def body(self) -> None:
        self.line("box = Box(5)")
        self.line("xs: list[u32] = [1, 2]")
        self.line("pair = Pair(5)")
        self.line("pairs = Array[Pair, 2]()")
        self.line("table: dict[i32, i64] = {1: 2}")
        self.line("boxes = [box, Box(8)]")
        self.line("base = make(1)")
        for _ in range(self.rng.randint(2, 6)):
            self.statement(3)


def program(seed: int, count: int) -> tuple[str, str]:
    """(native text, oracle text) of a module with cases 0 … count - 1."""
    made = Generator(random.Random(seed))
    for number in range(count):
        made.function(number)
        made.case(number)
    return HEAD + "\n".join(made.native) + "\n", HEAD + "\n".join(made.oracle) + "\n"
