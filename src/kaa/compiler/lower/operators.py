# SPDX-License-Identifier: Apache-2.0
"""Operators, comparison, truth, and what tests teach about types."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable
from typing import Any, cast

from kaa.compiler import ir
from kaa.compiler.ir import Block, Const, Value, Var
from kaa.compiler.lower.bindings import has_walrus
from kaa.compiler.lower.core import Facts
from kaa.compiler.lower.expressions import Expressions
from kaa.compiler.lower.values import CompileTime, Live, TupleValue
from kaa.compiler.types import (
    BOOL,
    U8,
    U64,
    VIEW,
    BoolType,
    BytesType,
    ClassType,
    FunctionType,
    IntType,
    IntVar,
    LitType,
    NoneType,
    OptionalType,
    PtrType,
    SliceType,
    StructType,
    Type,
    is_counted,
    is_int,
    join,
    strip,
)

_of: Any = cast(Any, operator)  # typeshed leaves the parameters of half of them untyped
FOLD: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: _of.add, ast.Sub: _of.sub, ast.Mult: _of.mul, ast.FloorDiv: _of.floordiv,
    ast.Mod: _of.mod, ast.LShift: _of.lshift, ast.RShift: _of.rshift, ast.BitAnd: _of.and_,
    ast.BitOr: _of.or_, ast.BitXor: _of.xor, ast.Pow: _of.pow,
}  # fmt: skip
NAMES = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.FloorDiv: "floordiv", ast.Mod: "mod", ast.LShift: "shl",
    ast.RShift: "shr", ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
}  # fmt: skip
DUNDER = {
    ast.Add: "__add__", ast.Sub: "__sub__", ast.Mult: "__mul__", ast.FloorDiv: "__floordiv__", ast.Mod: "__mod__",
    ast.LShift: "__lshift__", ast.RShift: "__rshift__", ast.BitAnd: "__and__", ast.BitOr: "__or__",
    ast.BitXor: "__xor__", ast.Lt: "__lt__", ast.LtE: "__le__", ast.Gt: "__gt__", ast.GtE: "__ge__", ast.Eq: "__eq__",
    ast.NotEq: "__eq__",
}  # fmt: skip
SYMBOL = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%", ast.LShift: "<<", ast.RShift: ">>",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Eq: "==", ast.NotEq: "!=", ast.Div: "/", ast.Pow: "**", ast.MatMult: "@",
}  # fmt: skip
COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip
CHECKED = ("add", "sub", "mul", "shl")


class Operators(Expressions):
    """Arithmetic and logic."""

    def expr_BinOp(self, node: ast.BinOp, expected: Type | None) -> Value:
        left = self._held(self.expr(node.left), node.left, node.right)
        right = self.expr(node.right)
        return self.binary(left, type(node.op), right, node, expected)

    def _held(self, value: Value, node: ast.expr, later: ast.expr) -> Value:
        """A local read before an expression that assigns it (walrus) keeps its old value."""
        if isinstance(value, Var) and not value.temp and has_walrus(later):
            return self._settled(value, node, None)
        return value

    def binary(self, left: Value, op: type, right: Value, node: ast.AST, expected: Type | None = None) -> Value:
        if (
            isinstance(left, Const)
            and isinstance(right, Const)
            and isinstance(left.type, LitType)
            and isinstance(right.type, LitType)
        ):
            return self._fold(left, op, right, node)
        left, right = self.materialise(left, node), self.materialise(right, node)
        lt = strip(left.type)
        if isinstance(lt, PtrType) and op in (ast.Add, ast.Sub):
            return self._pointer_step(left, op, right, node)
        if isinstance(lt, (ClassType, StructType)) and op in DUNDER:
            return self.call_dunder_value(left, DUNDER[op], [right], node)
        if (
            isinstance(lt, BoolType)
            and isinstance(strip(right.type), BoolType)
            and op in (ast.BitAnd, ast.BitOr, ast.BitXor)
        ):
            out = self.temp(BOOL)
            self.emit(ir.Op(out, NAMES[op], [left, right]))
            return out
        if not (is_int(lt) and is_int(right.type)) or op not in NAMES:
            self.error(f"{SYMBOL[op]} cannot be applied to {left.type} and {right.type}", node)
        if op in (ast.LShift, ast.RShift):
            return self._shift(left, op, right, node, expected)
        t = self.arithmetic_type(left, right, SYMBOL[op], node)
        if op is ast.BitAnd and isinstance(t, IntType):
            left, right = self._mask(left, t), self._mask(right, t)
        left, right = self.coerce(left, t, node), self.coerce(right, t, node)
        name = NAMES[op]
        if name in ("floordiv", "mod"):
            return self._divide(left, name, right, t)
        out = self.temp(t)
        self.emit(ir.Op(out, name, [left, right], checked=name in CHECKED))
        return out

    @staticmethod
    def _mask(v: Value, t: IntType) -> Value:
        """x & ~7: the constant's infinitely many sign bits, cut to x's width."""
        if isinstance(v, Const) and isinstance(v.type, LitType) and v.value < 0 and not t.signed:
            return Const(t, v.value & t.high)
        return v

    def _divide(self, left: Value, name: str, right: Value, t: Type) -> Value:
        if not isinstance(right, Const):
            self.check("{0} != 0", [right], "divide")
        elif right.value == 0:
            self.error("division by zero")
        out = self.temp(t)
        self.emit(ir.Op(out, name, [left, right], checked=True))
        return out

    def _shift(self, left: Value, op: type, right: Value, node: ast.AST, expected: Type | None) -> Value:
        if isinstance(left.type, LitType):
            assert isinstance(left, Const)
            left = Const(IntVar(), left.value)
        right = self.decide(right)
        if not isinstance(right, Const):
            self.check("(u64){0} < sizeof({1}) * 8", [right, left], "shift")
        elif right.value < 0:
            self.error("a shift by a negative count", node)
        out = self.temp(left.type)
        self.emit(ir.Op(out, NAMES[op], [left, right], checked=op is ast.LShift))
        return out

    def _pointer_step(self, left: Value, op: type, right: Value, node: ast.AST) -> Value:
        right = self.decide(right, node)
        out = self.temp(left.type)
        self.emit(ir.Raw(out, f"{{0}} {SYMBOL[op]} {{1}}", [left, right]))
        return out

    def _fold(self, left: Const, op: type, right: Const, node: ast.AST) -> Value:
        if op not in FOLD:
            self.error(f"{SYMBOL.get(op, op.__name__)} cannot be applied to integers", node)
        try:
            v = FOLD[op](left.value, right.value)
        except (ZeroDivisionError, ValueError) as error:
            self.error(str(error), node)
        return Const(LitType(v), v)

    def arithmetic_type(self, left: Value, right: Value, symbol: str, node: ast.AST) -> Type:
        """The type in which two integers meet."""
        a, b = strip(left.type), strip(right.type)
        if isinstance(a, LitType):
            return b
        if isinstance(b, LitType):
            return a
        if isinstance(a, IntVar) and a is not b:
            a.bound = b
            return b
        if isinstance(b, IntVar):
            if a is not b:
                b.bound = a
            return a
        assert isinstance(a, IntType) and isinstance(b, IntType)
        if a.holds(b):
            return a
        if b.holds(a):
            return b
        self.error(f"{symbol} mixes {a} and {b}; convert one: {b}(...) or {a}(...)", node)

    def expr_UnaryOp(self, node: ast.UnaryOp, expected: Type | None) -> Value:
        if isinstance(node.op, ast.Not):
            return self.bool_value(node)
        v = self.expr(node.operand, expected)
        if isinstance(v, Const) and isinstance(v.type, LitType):
            n = -v.value if isinstance(node.op, ast.USub) else ~v.value if isinstance(node.op, ast.Invert) else v.value
            return Const(LitType(n), n)
        v = self.materialise(v, node)
        t = strip(v.type)
        if not is_int(t):
            self.error(f"{type(node.op).__name__} cannot be applied to {t}", node)
        if isinstance(node.op, ast.UAdd):
            return v
        out = self.temp(t)
        if isinstance(node.op, ast.USub):
            self.emit(ir.Op(out, "sub", [Const(t, 0), v], checked=True))
        else:
            self.emit(ir.Op(out, "not", [v]))
        return out

    # ---- truth -------------------------------------------------------------------------------------------------------

    strict = False  # the operands of and/or must be bool: their value is wanted, not only their truth

    def expr_BoolOp(self, node: ast.BoolOp, expected: Type | None) -> Value:
        if (
            isinstance(node.op, ast.Or)
            and len(node.values) == 2
            and isinstance(node.values[0], (ast.Name, ast.Attribute, ast.Call))
        ):
            return self._either(node, expected)
        saved, self.strict = self.strict, True
        out = self.bool_value(node)
        self.strict = saved
        return out

    def _either(self, node: ast.BoolOp, expected: Type | None) -> Value:
        """a or b, for bools and for references that may be None."""
        first = self.value(node.values[0])
        t = strip(first.type)
        inner = t.inner if isinstance(t, OptionalType) else t
        if isinstance(t, ClassType) and t.info.find("__bool__") is None and t.info.find("__len__") is None:
            return first  # never None here
        if not isinstance(t, BoolType) and not (isinstance(inner, ClassType) and isinstance(t, OptionalType)):
            self.error("`and`/`or` as a value gives one of its operands; only bools can be combined so", node)
        test = self.truth(first, node)
        yes, no, end = self.new_block("first"), self.new_block("second"), self.new_block("end")
        self.end(ir.Branch(test, yes, no))
        before = dict(self.facts)
        self.place_block(no)
        second = self.value(node.values[1], expected)
        self.facts = before
        joined = join(inner, second.type)
        if joined is None:
            self.error(f"the two sides are {first.type} and {second.type}: one type cannot hold both", node)
        out = self.temp(joined)
        self.emit(ir.Assign(out, self.coerce(second, joined, node)))
        self.goto(end)
        self.place_block(yes)
        narrowed = self._cast(first, inner) if inner is not t else first
        self.emit(ir.Assign(out, self.coerce(narrowed, joined, node)))
        self.goto(end)
        self.place_block(end)
        return out

    def bool_value(self, node: ast.expr) -> Value:
        """A condition as a value of type bool."""
        yes, no, end = self.new_block("true"), self.new_block("false"), self.new_block("end")
        out = self.temp(BOOL)
        before = dict(self.facts)
        self.cond(node, yes, no)
        for block, value in ((yes, True), (no, False)):
            self.place_block(block)
            self.emit(ir.Assign(out, Const(BOOL, value)))
            self.goto(end)
        self.place_block(end)
        self.facts = before
        return out

    def cond(self, node: ast.expr, yes: Block, no: Block) -> tuple[Facts, Facts]:
        """Lowers a test that goes to `yes` or `no`; returns what each learns."""
        self.at(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            f, t = self.cond(node.operand, no, yes)
            return t, f
        if isinstance(node, ast.BoolOp):
            return self._cond_chain(node, yes, no)
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], (ast.Is, ast.IsNot)):
            return self._cond_is(node, yes, no)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "isinstance"
            and not self.frame.find("isinstance")
        ):
            return self._cond_isinstance(node, yes, no)
        strict, self.strict = self.strict, False
        v = self.expr(node)
        self.strict = strict
        facts: Facts = {}
        if strict and not self.is_bool(v.type):
            self.error("`and`/`or` as a value gives one of its operands; only bools can be combined so", node)
        if isinstance(v, Const) and not isinstance(v.type, NoneType) and not isinstance(v.value, type(None)):
            self.goto(yes if v.value else no)
            return {}, {}
        v = self.materialise(v, node)
        t = strip(v.type)
        if isinstance(t, OptionalType):
            key = self.path_key(node)
            if key is not None:
                facts[key] = t.inner
        self.end(ir.Branch(self.truth(v, node), yes, no))
        return facts, {}

    def _cond_chain(self, node: ast.BoolOp, yes: Block, no: Block) -> tuple[Facts, Facts]:
        before = dict(self.facts)
        both = isinstance(node.op, ast.And)
        sure: Facts = {}
        either: list[Facts] = []
        for i, part in enumerate(node.values):
            last = i == len(node.values) - 1
            following = (yes if both else no) if last else self.new_block("next")
            t, f = self.cond(part, following, no) if both else self.cond(part, yes, following)
            go_on, leave = (t, f) if both else (f, t)
            sure.update(go_on)
            either.append({**{k: v for k, v in sure.items() if k not in go_on and i > 0}, **leave} if i else leave)
            if not last:
                self.place_block(following)
                self.facts.update(go_on)
        self.facts = before
        merged = either[0]
        for e in either[1:]:
            merged = self.common(merged, e)
        return (sure, merged) if both else (merged, sure)

    def _cond_is(self, node: ast.Compare, yes: Block, no: Block) -> tuple[Facts, Facts]:
        positive = isinstance(node.ops[0], ast.Is)
        right_node = node.comparators[0]
        is_none = isinstance(right_node, ast.Constant) and right_node.value is None
        if not is_none:
            v = self.compare_is(node.left, right_node, node)
            self.end(ir.Branch(v, yes if positive else no, no if positive else yes))
            return {}, {}
        v = self._tested(node.left)
        none_block, some_block = (yes, no) if positive else (no, yes)
        if isinstance(v, CompileTime) or isinstance(strip(v.type), NoneType):
            self.goto(none_block if isinstance(strip(v.type), NoneType) else some_block)
            return {}, {}
        t = strip(v.type)
        if not isinstance(t, OptionalType):
            if isinstance(t, (ClassType, BytesType, FunctionType)):
                self.goto(some_block)  # never None here: known from an earlier test
                return {}, {}
            self.error(f"{t} is never None", node)
        out = self.temp(BOOL)
        self.emit(ir.Raw(out, "{0} == 0", [v]))
        key = self.path_key(node.left)
        facts: Facts = {key: t.inner} if key is not None else {}
        self.end(ir.Branch(out, none_block, some_block))
        return ({}, facts) if positive else (facts, {})

    def _tested(self, node: ast.expr) -> Value:
        """What a None test looks at: of an attribute, what it is now, whatever an earlier test said."""
        key = self.path_key(node) if isinstance(node, ast.Attribute) else None
        known = self.facts.pop(key, None) if key is not None else None
        v = self.expr(node)
        if key is not None and known is not None:
            self.facts[key] = known
        return v

    def _cond_isinstance(self, node: ast.Call, yes: Block, no: Block) -> tuple[Facts, Facts]:
        v = self.value(node.args[0])
        t = strip(v.type)
        inner = t.inner if isinstance(t, OptionalType) else t
        classes = node.args[1].elts if isinstance(node.args[1], ast.Tuple) else [node.args[1]]
        if not isinstance(inner, ClassType):
            self.error(f"isinstance of a {t}: its type is known", node)
        out = self.temp(BOOL)
        tests: list[str] = []
        target: Type | None = None
        for c in classes:
            info = self.class_of_node(c)
            tests.append(f"kaa_is_instance({{0}}, {self.program.freezer.class_range(info)})")
            target = ClassType(info)
        template = "(" + " || ".join(tests) + ")"
        if isinstance(t, OptionalType):
            template = "({0} != 0 && " + template + ")"
        self.emit(ir.Raw(out, template, [v]))
        key = self.path_key(node.args[0])
        facts: Facts = {key: target} if key is not None and len(classes) == 1 and target is not None else {}
        self.end(ir.Branch(out, yes, no))
        return facts, {}

    def class_of_node(self, node: ast.expr) -> Any:
        live = self.expr(node)
        info = self.class_of(live) if isinstance(live, Live) else None
        if info is None or info.is_struct:
            self.error("isinstance needs a class", node)
        return info

    def truth(self, v: Value, node: ast.AST) -> Value:
        """The truth value of a run-time value, as Python defines it."""
        t = strip(v.type)
        if isinstance(t, BoolType):
            return v
        out = self.temp(BOOL)
        if is_int(t) or isinstance(t, PtrType):
            self.emit(ir.Raw(out, "{0} != 0", [v]))
            return out
        if isinstance(t, SliceType):
            self.emit(ir.Raw(out, "{0}.n != 0", [v]))
            return out
        inner = t.inner if isinstance(t, OptionalType) else t
        if isinstance(inner, BytesType) and not isinstance(t, OptionalType):
            self.emit(ir.Raw(out, "{0}->n != 0", [v]))
            return out
        if isinstance(inner, (ClassType, StructType)):
            for name in ("__bool__", "__len__"):
                if inner.info.find(name) is not None:
                    if isinstance(t, OptionalType):
                        self.error(f"the truth of {t} is not only whether it is None; write `is not None`", node)
                    return self.truth(self.call_dunder_value(v, name, [], node), node)
            if not isinstance(t, OptionalType):
                self.error(f"{t} is always true here", node)
        if isinstance(t, OptionalType) and not isinstance(inner, BytesType):
            self.emit(ir.Raw(out, "{0} != 0", [v]))
            return out
        self.error(f"the truth of {t} is not defined; compare it with something", node)

    # ---- comparison --------------------------------------------------------------------------------------------------

    def expr_Compare(self, node: ast.Compare, expected: Type | None) -> Value:
        if len(node.ops) == 1:
            if isinstance(node.ops[0], (ast.Is, ast.IsNot)):
                return self.bool_value(node)
            left = self._held(self.expr(node.left), node.left, node.comparators[0])
            return self.compare(left, node.ops[0], node.comparators[0], node)
        # a < b < c: each operand once, left to right, stopping at the first false
        out, end = self.temp(BOOL), self.new_block("end")
        left = (
            self._settled(self.expr(node.left), node.left, None)
            if not isinstance(node.left, ast.Constant)
            else self.expr(node.left)
        )
        for i, (op, right_node) in enumerate(zip(node.ops, node.comparators, strict=True)):
            right = self.expr(right_node)
            if not isinstance(right, (Const, CompileTime)):
                right = self._settled(right, right_node, None)
            result = self.materialise(self.compare_values(left, op, right, node), node)
            self.emit(ir.Assign(out, result))
            if i < len(node.ops) - 1:
                more = self.new_block("next")
                self.end(ir.Branch(out, more, end))
                self.place_block(more)
            left = right
        self.place_block(end)
        return out

    def compare(self, left: Value, op: ast.cmpop, right_node: ast.expr, node: ast.AST) -> Value:
        if isinstance(op, (ast.In, ast.NotIn)):
            v = self.contains(left, right_node, node)
            return v if isinstance(op, ast.In) else self.negate(v)
        return self.compare_values(left, op, self.expr(right_node), node)

    def negate(self, v: Value) -> Value:
        if isinstance(v, Const):
            return Const(BOOL, not v.value)
        out = self.temp(BOOL)
        self.emit(ir.Raw(out, "!{0}", [v]))
        return out

    def compare_values(self, left: Value, op: ast.cmpop, right: Value, node: ast.AST) -> Value:
        kind = type(op)
        if kind not in SYMBOL:
            self.error("`in` and `is` cannot be chained with other comparisons; write `and`", node)
        if (
            isinstance(left, Const)
            and isinstance(right, Const)
            and isinstance(left.type, (LitType, BoolType))
            and kind in COMPARE
        ):
            return Const(BOOL, COMPARE[kind](left.value, right.value))
        if (
            isinstance(left, Live)
            and isinstance(right, Live)
            and kind in COMPARE
            and isinstance(left.obj, (bytes, str))
        ):
            return Const(BOOL, COMPARE[kind](left.obj, right.obj))
        left, right = self.materialise(left, node), self.materialise(right, node)
        a, b = strip(left.type), strip(right.type)
        symbol = SYMBOL[kind]
        out = self.temp(BOOL)
        if is_int(a) and is_int(b):
            t = self.arithmetic_type(left, right, symbol, node)
            self.emit(ir.Op(out, symbol, [self.coerce(left, t, node), self.coerce(right, t, node)]))
            return out
        if isinstance(a, BoolType) and isinstance(b, BoolType):
            self.emit(ir.Op(out, symbol, [left, right]))
            return out
        if isinstance(a, PtrType) and a == b:
            self.emit(ir.Op(out, symbol, [left, right]))
            return out
        if self._bytes_like(a) and self._bytes_like(b) and kind in (ast.Eq, ast.NotEq):
            self.emit(
                ir.Raw(
                    out, "kaa_bytes_equal({0}, {1})", [self.coerce(left, VIEW, node), self.coerce(right, VIEW, node)]
                )
            )
            return out if kind is ast.Eq else self.negate(out)
        if isinstance(a, FunctionType) and isinstance(b, FunctionType) and kind in (ast.Eq, ast.NotEq):
            self.emit(ir.Op(out, symbol, [left, right]))
            return out
        if isinstance(a, (ClassType, StructType)) and a.info.find(DUNDER[kind]) is not None:
            v = self.call_dunder_value(left, DUNDER[kind], [right], node)
            return self.negate(v) if kind is ast.NotEq else v
        if is_counted(a) and kind in (ast.Eq, ast.NotEq):
            self.error(f"{a} has no __eq__; `is` compares identity", node)
        self.error(f"{symbol} cannot compare {a} and {b}", node)

    @staticmethod
    def _bytes_like(t: Type) -> bool:
        return isinstance(t, BytesType) or (isinstance(t, SliceType) and t.element == U8)

    def compare_is(self, left_node: ast.expr, right_node: ast.expr, node: ast.AST) -> Value:
        left = self.value(left_node)
        right = self.value(right_node)
        if (
            not (is_counted(left.type) and is_counted(right.type))
            and not (isinstance(strip(left.type), BoolType) and isinstance(strip(right.type), BoolType))
            and not isinstance(strip(left.type), (FunctionType, OptionalType))
        ):
            self.error(f"`is` compares objects, not {left.type} and {right.type}; use ==", node)
        out = self.temp(BOOL)
        self.emit(ir.Raw(out, "((u64){0} == (u64){1})", [left, right]))
        return out

    def contains(self, left: Value, right_node: ast.expr, node: ast.AST) -> Value:
        """left in right."""
        if isinstance(right_node, (ast.Tuple, ast.Set, ast.List)):
            return self._in_any(left, [self.expr(e) for e in right_node.elts], node)
        right = self.expr(right_node)
        if isinstance(right, TupleValue):
            return self._in_any(left, right.values, node)
        obj: Any = right.obj if isinstance(right, Live) else None
        if isinstance(obj, (tuple, frozenset, set)):
            constants = sorted(cast("Iterable[Any]", obj))
            return self._in_any(left, [self.from_live(o, "", None) for o in constants], node)
        right = self.materialise(right, right_node)
        t = strip(right.type)
        if isinstance(t, ClassType):
            return self.call_dunder_value(right, "__contains__", [left], node)
        if self._bytes_like(t):
            out = self.temp(BOOL)
            view = self.coerce(right, VIEW, node)
            left = self.decide(left, node)
            if is_int(left.type):
                self.emit(ir.Raw(out, "kaa_find_byte({0}, {1}) >= 0", [view, left]))
            else:
                self.emit(ir.Raw(out, "kaa_find({0}, {1}) >= 0", [view, self.coerce(left, VIEW, node)]))
            return out
        self.error(f"`in` cannot look into {t}", node)

    def _in_any(self, left: Value, values: list[Value], node: ast.AST) -> Value:
        left = self.materialise(left, node) if not isinstance(left, (Const, Live)) else left
        end, out = self.new_block("end"), self.temp(BOOL)
        folded = [self.compare_values(left, ast.Eq(), v, node) for v in values] if isinstance(left, Const) else []
        if folded and all(isinstance(f, Const) for f in folded):
            return Const(BOOL, any(f.value for f in folded if isinstance(f, Const)))
        for v in values:
            self.emit(ir.Assign(out, self.compare_values(left, ast.Eq(), v, node)))
            more = self.new_block("next")
            self.end(ir.Branch(out, end, more))
            self.place_block(more)
        self.emit(ir.Assign(out, Const(BOOL, False)))
        self.place_block(end)
        return out

    def call_dunder_value(self, base: Value, name: str, args: list[Value], node: ast.AST) -> Value:
        raise NotImplementedError


__all__ = ["Operators", "U64"]
