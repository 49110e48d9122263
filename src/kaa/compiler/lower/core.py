# SPDX-License-Identifier: Apache-2.0
"""The lowerer's state: blocks, temporaries, clean-ups, narrowing, conversions."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from kaa.compiler import ir
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Block, Const, Handler, Value, Var
from kaa.compiler.lower.frame import Frame
from kaa.compiler.lower.values import (
    BoundMethod,
    CompileTime,
    LambdaValue,
    Live,
    TupleValue,
)
from kaa.compiler.program import Function, Program
from kaa.compiler.types import (
    I64,
    NONE,
    VIEW,
    ArrayType,
    AtomicType,
    BoolType,
    BytesType,
    ClassType,
    FunctionType,
    IntType,
    IntVar,
    LitType,
    NoneType,
    OptionalType,
    SliceType,
    StrType,
    StructType,
    TupleType,
    Type,
    WeakType,
    is_counted,
    is_int,
    join,
    nonnull,
    strip,
)
from kaa.lang.proofs import EVENT, PRIMITIVE

Facts = dict[tuple[str, ...], Type]


class Restart(Exception):
    """A local turned out to need a wider type: lower the function again with what is known now."""


@dataclass
class Cleanup:
    """What must run on every way out of a block. `run` lowers its code; `handler` is where errors inside go."""

    run: Callable[[], None] | None
    handler: Handler | None
    frame: Frame
    used: bool = False


class Core:
    """State and primitives shared by all parts of the lowerer."""

    def __init__(self, function: Function, declared: dict[tuple[object, ...], Type]) -> None:
        self.function = function
        self.program: Program = function.program
        self.declared = declared
        self.blocks: list[Block] = []
        self.block_count = -1
        self.block = self.new_block("entry")
        self.blocks.append(self.block)
        self.reachable = True
        self.targeted: set[Block] = set()  # blocks that something jumps to
        self.names_used: dict[str, int] = {}
        self.temps: list[Var] = []
        self.cleanups: list[Cleanup] = []
        self.facts: Facts = {}
        self.watchers: list[set[tuple[str, ...]]] = []  # each collects the keys that are assigned while it is there
        self.line = function.node.lineno
        self.file = function.filename
        self.fail: Handler | None = None
        self.frame: Frame = Frame(
            function.module, function.filename, function.typevars, function.owner, function.node, ()
        )
        self.inline_stack: list[object] = []
        self.site = 0  # in an expanded body: the line of the function itself that it is expanded at
        self.primitive = is_primitive(function.marks)  # inside what an event stands for: its parts are none

    # ---- messages --------------------------------------------------------------------------------------------------

    def error(self, message: str, node: ast.AST | None = None) -> NoReturn:
        raise CompileError(message, self.frame.filename, node, line=self.line)

    # ---- blocks and instructions -------------------------------------------------------------------------------------

    def new_block(self, name: str) -> Block:
        self.block_count += 1
        return Block(f"{name}_{self.block_count}")

    def emit(self, instr: ir.Instr) -> None:
        instr.line, instr.file = self.line, self.file
        if self.site:
            instr.site = self.site
        if self.primitive:
            instr.primitive = True
        if isinstance(instr, ir.Fresh):
            instr.dst.fresh = True
        if self.reachable:
            self.block.instrs.append(instr)
            if instr.handler is not None:
                self.block.raising.append(instr)

    def end(self, terminator: ir.Terminator) -> None:
        """Ends the current block; what follows is unreachable until a block is placed."""
        terminator.line, terminator.file = self.line, self.file
        if self.reachable:
            self.block.end = terminator
            self.targeted.update(terminator.targets())
        self.reachable = False

    def goto(self, block: Block) -> None:
        self.end(ir.Goto(block))

    def place_block(self, block: Block) -> None:
        """Continues in `block`, falling through from the current one."""
        if self.reachable:
            self.goto(block)
        self.blocks.append(block)
        self.block = block
        self.reachable = True

    def at(self, node: ast.AST) -> None:
        self.line = getattr(node, "lineno", self.line)

    # ---- variables -------------------------------------------------------------------------------------------------

    def unique(self, name: str) -> str:
        n = self.names_used.get(name, 0)
        self.names_used[name] = n + 1
        return name if n == 0 else f"{name}_{n}"

    def temp(self, t: Type, name: str = "t") -> Var:
        """A new temporary; if it holds a count it is dropped at the end of the statement."""
        held = t
        if isinstance(t, IntVar):
            bound = t.resolve()
            held = t if isinstance(bound, IntVar) else bound
        v = Var(self.unique(f"{name}__"), held, temp=True)
        if is_counted(held):
            self.temps.append(v)
        return v

    def local(self, name: str, t: Type) -> Var:
        return Var(self.unique("v_" + name), t)

    def end_statement(self) -> None:
        """Drops the temporaries of the statement that ends here."""
        if self.temps:
            self.drop(self.take_temps())

    def take_temps(self) -> list[Var]:
        temps, self.temps = self.temps, []
        return temps

    def drop(self, temps: list[Var]) -> None:
        for t in reversed(temps):
            if not t.keep:
                self.emit(ir.Drop(t))

    def keep_temps(self) -> None:
        """A view or place made in this statement lives on: so do the temporaries it may point into."""
        for t in self.temps:
            t.keep = True

    # ---- errors ------------------------------------------------------------------------------------------------------

    def handler(self) -> Handler:
        """Where an error raised here goes."""
        for cleanup in reversed(self.cleanups):
            if cleanup.handler is not None:
                cleanup.used = True
                return cleanup.handler
        if self.fail is None:
            self.fail = Handler(Var(self.unique("error__"), IntType(32, False)), self.new_block("fail"))
        return self.fail

    def new_handler(self, name: str) -> Handler:
        return Handler(Var(self.unique("error__"), IntType(32, False)), self.new_block(name))

    def raise_code(self, code: Value) -> None:
        h = self.handler()
        self.emit(ir.Assign(h.var, code))
        self.goto(h.block)

    def unwind(self, depth: int) -> None:
        """Runs the clean-ups above `depth`, innermost first, for a jump out of them."""
        saved, frame, loops = self.cleanups, self.frame, None
        while len(self.cleanups) > depth:
            cleanup = self.cleanups[-1]
            self.cleanups = self.cleanups[:-1]
            if cleanup.run is not None and self.reachable:
                self.frame = cleanup.frame
                loops, self.frame.loops = self.frame.loops, []
                temps = self.take_temps()  # what the jump carries out lives through the clean-up
                cleanup.run()
                self.temps = temps
                self.frame.loops = loops
        self.cleanups, self.frame = saved, frame

    # ---- narrowing ---------------------------------------------------------------------------------------------------

    def forget(self, key: tuple[str, ...]) -> None:
        """An assignment to `key`: what was known about it and what hangs on it no longer holds."""
        for watcher in self.watchers:
            watcher.add(key)
        for k in [k for k in self.facts if k[: len(key)] == key]:
            del self.facts[k]

    def forget_attribute(self, name: str) -> None:
        """An assignment to attribute `name` of some object: the same attribute of another name for it changes too."""
        for k in [k for k in self.facts if name in k[1:]]:
            del self.facts[k]

    @staticmethod
    def common(a: Facts, b: Facts) -> Facts:
        """What holds on both ways into a block."""
        out: Facts = {}
        for k in a.keys() & b.keys():
            j = join(a[k], b[k])
            if j is not None:
                out[k] = j
        return out

    # ---- conversions -------------------------------------------------------------------------------------------------

    def materialise(self, value: Value, node: ast.AST | None = None, expected: Type | None = None) -> Value:
        """A run-time value for anything an expression can be."""
        if not isinstance(value, CompileTime):
            return value
        if isinstance(value, Live):
            return self.live_value(value, node, expected)
        if isinstance(value, LambdaValue) and isinstance(expected, FunctionType):
            self.error("a lambda may only be passed to an @inline function; write a function", node)
        if isinstance(value, (BoundMethod,)) and isinstance(expected, (FunctionType, OptionalType)):
            self.error("a bound method is not a plain function; pass a function and its argument", node)
        if not isinstance(value, TupleValue):
            self.error(f"{value.what} is not a value here", node)
        return value

    def live_value(self, live: Live, node: ast.AST | None, expected: Type | None) -> Value:
        found = self.program.freezer.value(live.obj, expected or live.hint, live.symbol)
        if found is None:
            self.error(f"{live.what} cannot be used as a value here", node)
        return found

    def coerce(self, value: Value, to: Type, node: ast.AST | None = None, what: str = "") -> Value:
        """`value` as type `to`. Raises CompileError where the language has no such conversion."""
        to = strip(to)
        if isinstance(value, CompileTime):
            value = self.materialise(value, node, to)
        have = strip(value.type)
        if type(have) is type(to) and have == to and not isinstance(have, LitType):
            return value
        if is_int(have) and is_int(to):
            return self._coerce_int(value, have, to, node)
        if isinstance(to, OptionalType):
            return self._coerce_optional(value, have, to, node, what)
        if isinstance(have, ClassType) and isinstance(to, ClassType) and have.info.is_subclass(to.info):
            return self._cast(value, to)
        if isinstance(to, SliceType) and to.element == VIEW.element:
            if isinstance(have, BytesType) and to.readonly:
                return self.bytes_view(value)
            if isinstance(have, SliceType) and have.element == to.element and (to.readonly or not have.readonly):
                return self._cast(value, to)
        if isinstance(to, TupleType) and isinstance(value, TupleValue) and len(to.parts) == len(value.values):
            return TupleValue([self.coerce(v, t, node, what) for v, t in zip(value.values, to.parts, strict=True)])
        self._refuse(have, to, node, what)

    def _refuse(self, have: Type, to: Type, node: ast.AST | None, what: str) -> NoReturn:
        place = f" for {what}" if what else ""
        if isinstance(have, OptionalType) and not isinstance(to, OptionalType) and nonnull(have) == to:
            self.error(f"this may be None ({have}); test it first{place}", node)
        self.error(f"expected {to}{place}, got {have}", node)

    def _coerce_int(self, value: Value, have: Type, to: Type, node: ast.AST | None) -> Value:
        if isinstance(value, Const) and isinstance(have, LitType):
            if isinstance(to, (LitType, IntVar)):
                return Const(to, value.value)
            assert isinstance(to, IntType)
            if not to.low <= value.value <= to.high:
                self.error(f"{value.value} does not fit in {to}", node)
            return Const(to, value.value)
        if isinstance(have, IntVar):
            if isinstance(to, LitType):
                return value
            have.bound = to
            return value
        if isinstance(to, IntVar):
            to.bound = have
            return value
        if isinstance(to, LitType):
            return value
        assert isinstance(have, IntType) and isinstance(to, IntType)
        if to.holds(have):
            return self._cast(value, to)
        if to.signed == have.signed:
            out = self.temp(to)
            self.emit(ir.Op(out, "cast", [value], checked=True))
            return out
        self.error(f"{have} does not convert to {to} by itself; write {to}(...)", node)

    def _coerce_optional(self, value: Value, have: Type, to: OptionalType, node: ast.AST | None, what: str) -> Value:
        if isinstance(have, NoneType):
            return Const(to, None)
        if isinstance(have, OptionalType):
            if have.inner == to.inner:
                return value
            a, b = have.inner, to.inner
            if isinstance(a, ClassType) and isinstance(b, ClassType) and a.info.is_subclass(b.info):
                return self._cast(value, to)
            self._refuse(have, to, node, what)
        inner = self.coerce(value, to.inner, node, what)
        out = self._cast(inner, to)
        if isinstance(out, Var) and is_counted(to):
            out.known = True
        return out

    def _cast(self, value: Value, to: Type) -> Value:
        """A conversion that loses nothing; of references, one that keeps the same object (and borrows from it)."""
        if isinstance(value, Const):
            return Const(to, value.value)
        if isinstance(value, ir.Symbol) and is_counted(to):
            return ir.Symbol(to, f"({to.c}){value.expr}")
        out = self.temp(to)
        if is_counted(to) or isinstance(to, SliceType):
            self.emit(ir.Assign(out, value))
        else:
            self.emit(ir.Op(out, "cast", [value]))
        return out

    def bytes_view(self, value: Value) -> Value:
        """The view of a bytes object."""
        out = self.temp(VIEW)
        self.emit(ir.Raw(out, "kaa_bytes_view({0})", [value]))
        return out

    def refuse_references(self, element: Type, node: ast.AST) -> None:
        """Rows of references are not copied or filled as memory: their counts would be wrong."""
        if is_counted(element):
            self.error("the elements are references: assign them one by one", node)

    def decide(self, value: Value, node: ast.AST | None = None) -> Value:
        """A run-time value with a type of its own: an untyped constant becomes an int that may still take a width."""
        value = self.materialise(value, node)
        if isinstance(value, Const) and isinstance(value.type, LitType):
            return Const(IntVar(), value.value)
        return value

    def check(self, template: str, args: list[Value], kind: str) -> None:
        self.emit(ir.Check(template, args, kind))

    def default_int(self, t: Type) -> IntType:
        t = strip(t)
        if isinstance(t, IntType):
            return t
        if isinstance(t, IntVar):
            t.bound = I64
        return I64

    @staticmethod
    def is_bool(t: Type) -> bool:
        return isinstance(strip(t), BoolType)


def is_primitive(marks: dict[str, object]) -> bool:
    """Does an event say all that a function does to locks and contexts?"""
    what = marks.get(EVENT)
    return isinstance(what, tuple) and what[0] in PRIMITIVE


NO_VALUE = Const(NONE, None)
PLACES = (StructType, ArrayType, AtomicType)
REFERENCES = (ClassType, BytesType, WeakType, StrType)
