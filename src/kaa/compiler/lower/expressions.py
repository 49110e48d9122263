# SPDX-License-Identifier: Apache-2.0
"""Expressions: constants, names, attributes, subscripts, conditional expressions."""

from __future__ import annotations

import ast
import enum
import types as pytypes
import typing

import kaa.lang as lang
from kaa.compiler import ir
from kaa.compiler.annotations import CALLABLE
from kaa.compiler.classes import ClassInfo
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Const, ElementPlace, FieldPlace, Place, Value, Var
from kaa.compiler.lower.core import PLACES, Core
from kaa.compiler.lower.frame import Frame
from kaa.compiler.lower.values import (
    BoundMethod,
    BuiltinMethod,
    CompileTime,
    ComprehensionValue,
    ErrorValue,
    LambdaValue,
    Live,
    SuperValue,
    TupleValue,
    live_items,
)
from kaa.compiler.source import unwrap
from kaa.compiler.types import (
    BOOL,
    NONE,
    U8,
    U64,
    VIEW,
    ArrayType,
    AtomicType,
    BitsType,
    BytesType,
    ClassType,
    IntType,
    IntVar,
    LitType,
    NoneType,
    OptionalType,
    PtrType,
    SliceType,
    StructType,
    TupleType,
    Type,
    is_int,
    join,
    lit_type,
    nonnull,
    stored_c,
    strip,
)

METHODS = {cls: f"expr_{cls.__name__}" for cls in ast.expr.__subclasses__()}


class Expressions(Core):
    """`expr` lowers any expression; `value` gives its run-time value, `coerced` that value as a type."""

    def expr(self, node: ast.expr, expected: Type | None = None) -> Value:
        line = self.line
        self.line = node.lineno
        method = getattr(self, METHODS[type(node)], None)
        if method is None:
            self.error(f"{_plain(node)} cannot be compiled", node)
        out = method(node, expected)
        self.line = line
        return out

    def value(self, node: ast.expr, expected: Type | None = None) -> Value:
        """A run-time value (or several, in a TupleValue)."""
        return self.materialise(self.expr(node, expected), node, expected)

    def coerced(self, node: ast.expr, to: Type, what: str = "") -> Value:
        return self.coerce(self.expr(node, to), to, node, what)

    # ---- constants and names -----------------------------------------------------------------------------------------

    def expr_Constant(self, node: ast.Constant, expected: Type | None) -> Value:
        return self.constant(node.value, node)

    def constant(self, value: object, node: ast.AST | None) -> Value:
        if value is None:
            return Const(NONE, None)
        if isinstance(value, bool):
            return Const(BOOL, value)
        if isinstance(value, int):
            return Const(lit_type(int(value)), int(value))
        if isinstance(value, (bytes, str)):
            return Live(value)
        self.error(f"a {type(value).__name__} constant cannot be compiled", node)

    def expr_Name(self, node: ast.Name, expected: Type | None) -> Value:
        frame = self.frame.find(node.id)
        if frame is not None:
            found = frame.names.get(node.id)
            if found is None:
                self.error(f"'{node.id}' is used before it is set", node)
            return self.narrowed(found, (found.name,)) if isinstance(found, Var) else found
        try:
            obj = self.frame.module.lookup(node.id)
        except KeyError:
            self.error(f"name '{node.id}' is not defined", node)
        return self.from_live(obj, node.id, self.frame.module.live)

    def from_live(self, obj: object, name: str, module: pytypes.ModuleType | None) -> Value:
        """A module-level name's object: constants fold, others stay live until used."""
        if obj is None or isinstance(obj, (bool, int)):
            return self.constant(obj if not isinstance(obj, enum.Enum) else obj.value, None)
        hint: Type | None = None
        symbol = ""
        if module is not None and not isinstance(
            obj, (type, pytypes.FunctionType, pytypes.ModuleType, pytypes.BuiltinFunctionType)
        ):
            hint, symbol = self.global_hint(name, module)
        return Live(obj, hint, symbol)

    def global_hint(self, name: str, module: pytypes.ModuleType) -> tuple[Type | None, str]:
        """The declared type of a module-level name and the symbol its object gets."""
        if getattr(module, "__file__", None) is None or not module.__name__.startswith(self.program_roots()):
            return None, ""
        source = self.program.sources.module(module.__name__)
        symbol = f"{module.__name__.replace('.', '_')}__{name}"
        annotation = source.annotations.get(name)
        if annotation is None:
            return None, symbol
        text = ast.unparse(annotation)
        if text in ("Final", "typing.Final"):
            return None, symbol
        return self.program.annotations.resolve(annotation, source, {}), symbol

    def program_roots(self) -> tuple[str, ...]:
        return ("kaa", *getattr(self.program, "roots", ()))

    def narrowed(self, value: Value, key: tuple[str, ...] | None) -> Value:
        """The value at its narrowed type, if a test before has narrowed it."""
        if key is None or key not in self.facts or isinstance(value, (CompileTime, Const)):
            return value
        to = self.facts[key]
        if to == strip(value.type):
            return value
        return self._cast(value, to)

    def path_key(self, node: ast.expr) -> tuple[str, ...] | None:
        """What narrowing facts about this expression are filed under; None if it is not a path."""
        if isinstance(node, ast.Name):
            frame = self.frame.find(node.id)
            if frame is None:
                return None
            v = frame.names.get(node.id)
            if isinstance(v, Var):
                return (v.name,)
            return None
        if isinstance(node, ast.Attribute):
            base = self.path_key(node.value)
            if base is None and isinstance(node.value, (ast.Name, ast.Attribute)):
                base = self._global_path(node.value)
            return (*base, node.attr) if base is not None else None
        if isinstance(node, ast.NamedExpr):
            return self.path_key(node.target)
        return None

    def _global_path(self, node: ast.expr) -> tuple[str, ...] | None:
        """The path of a module-level object."""
        if isinstance(node, ast.Name) and self.frame.find(node.id) is not None:
            return None
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        parts.insert(0, node.id)
        try:
            obj: object = self.frame.module.lookup(parts[0])
        except KeyError:
            return None
        for part in parts[1:]:
            if not isinstance(obj, pytypes.ModuleType) or part not in obj.__dict__:
                return None
            obj = obj.__dict__[part]
        return (f"object {id(obj)}",) if not isinstance(obj, (pytypes.ModuleType, type)) else None

    # ---- attributes --------------------------------------------------------------------------------------------------

    def expr_Attribute(self, node: ast.Attribute, expected: Type | None) -> Value:
        base = self.expr(node.value)
        if isinstance(base, Live):
            return self._live_attribute(base, node)
        if isinstance(base, SuperValue):
            found = base.base.find(node.attr)
            if found is None:
                self.error(f"super() has no '{node.attr}'", node)
            return BoundMethod(base.receiver, unwrap(found[0]), found[1], virtual=False)
        if isinstance(base, ErrorValue):
            return self._error_attribute(base, node)
        out = self.attribute(self.materialise(base, node.value), node.attr, node)
        return self.narrowed_path(out, node)

    def narrowed_path(self, value: Value, node: ast.Attribute) -> Value:
        """Narrowing of an attribute path; the field may have changed since the test, so it is checked again."""
        key = self.path_key(node) if self.facts else None
        if key is None or key not in self.facts or isinstance(value, CompileTime):
            return value
        to = self.facts[key]
        if isinstance(strip(value.type), OptionalType) and not isinstance(to, OptionalType):
            self.check("{0} != 0", [value], "none")
        have, want = nonnull(strip(value.type)), nonnull(to)
        if isinstance(have, ClassType) and isinstance(want, ClassType) and not have.info.is_subclass(want.info):
            guard = "{0} == 0 || " if isinstance(to, OptionalType) else ""
            self.check(
                f"{guard}kaa_is_instance({{0}}, {self.program.freezer.class_range(want.info)})", [value], "assert"
            )
        return self.narrowed(value, key)

    def _live_attribute(self, base: Live, node: ast.Attribute) -> Value:
        obj = base.obj
        if isinstance(obj, pytypes.ModuleType):
            if node.attr in obj.__dict__:
                return self.from_live(obj.__dict__[node.attr], node.attr, obj)
            try:
                found = self.program.sources.module(obj.__name__).lookup(node.attr)
            except (KeyError, AttributeError):
                try:
                    import importlib

                    found = importlib.import_module(f"{obj.__name__}.{node.attr}")
                except ImportError:
                    self.error(f"module {obj.__name__} has no '{node.attr}'", node)
            return self.from_live(found, node.attr, obj)
        if isinstance(obj, type):
            return self._class_attribute(obj, base, node)
        if isinstance(obj, enum.Enum) or isinstance(obj, (str, pytypes.FunctionType)):
            try:
                return self.from_live(getattr(obj, node.attr), node.attr, None)
            except AttributeError:
                self.error(f"{base.what} has no '{node.attr}'", node)
        return self.attribute(self.materialise(base, node.value), node.attr, node)

    def _class_attribute(self, obj: type, base: Live, node: ast.Attribute) -> Value:
        raw = next((c.__dict__[node.attr] for c in obj.__mro__ if node.attr in c.__dict__), None)
        if isinstance(raw, (staticmethod, classmethod, pytypes.FunctionType)):
            info = self.class_of(base)
            if info is not None:
                found = info.find(node.attr)
                assert found is not None
                return Live(raw, typed=found[1].type)
        try:
            return self.from_live(getattr(obj, node.attr), node.attr, None)
        except AttributeError:
            self.error(f"class {obj.__qualname__} has no '{node.attr}'", node)

    def class_of(self, live: Live) -> ClassInfo | None:
        """The compiled class a live class stands for."""
        if isinstance(live.typed, (ClassType, StructType)):
            return live.typed.info
        if isinstance(live.obj, type):
            t = self.program.annotations.of_live(live.obj, self.frame.typevars)
            if isinstance(t, (ClassType, StructType)):
                return t.info
        return None

    def _error_attribute(self, base: ErrorValue, node: ast.Attribute) -> Value:
        if node.attr != "errno":
            self.error("only errno can be read from an exception", node)
        out = self.temp(IntType(32, False))
        self.emit(ir.Raw(out, "({0} & 0xfff)", [base.code]))
        return out

    def attribute(self, base: Value, name: str, node: ast.AST) -> Value:
        """`base.name` of a run-time value: a field, a property, a method."""
        t = strip(base.type)
        if isinstance(t, OptionalType):
            self.error(f"this may be None ({t}); test it before .{name}", node)
        if isinstance(t, (ClassType, StructType)):
            return self._member(base, t.info, name, node)
        if isinstance(t, PtrType) and name == "address":
            return self._cast_op(base, U64)
        if is_int(t) and name == "value":
            return base
        return BuiltinMethod(base, name)

    def _cast_op(self, value: Value, to: Type) -> Value:
        out = self.temp(to)
        self.emit(ir.Op(out, "cast", [value]))
        return out

    def _member(self, base: Value, info: ClassInfo, name: str, node: ast.AST) -> Value:
        info.prepare()
        if name in info.fields:
            return self.load(FieldPlace(base, info, info.fields[name]))
        found = info.find(name)
        if found is None:
            self.error(f"{info.name} has no field or method '{name}'", node)
        raw, owner = found
        if isinstance(raw, property):
            return self.call_method(BoundMethod(base, unwrap(found[0]), owner), [], [], node)
        if isinstance(raw, staticmethod):
            return Live(unwrap(found[0]))
        if isinstance(raw, (pytypes.FunctionType, classmethod)):
            return BoundMethod(base, unwrap(found[0]), owner)
        return self.from_live(raw, name, None)

    def load(self, place: Place) -> Value:
        """What is stored at a place (for structs and arrays, the place itself)."""
        t = place.type
        out = self.temp(t.element if isinstance(t, BitsType) else t)
        out.rcu = isinstance(t, ArrayType) and ir.is_rcu(place)
        self.emit(ir.AddressOf(out, place) if isinstance(t, PLACES) else ir.Load(out, place))
        return out

    # ---- subscripts --------------------------------------------------------------------------------------------------

    def expr_Subscript(self, node: ast.Subscript, expected: Type | None) -> Value:
        base = self.expr(node.value)
        if isinstance(base, Live) and self._is_type(base):
            t = self.program.annotations.resolve(node, self.frame.module, self.frame.typevars)
            return Live(base.obj, typed=t)
        if isinstance(base, TupleValue):
            return self._tuple_item(base, node)
        items = live_items(base)
        if items is not None and not isinstance(node.slice, ast.Slice):
            index = self.expr(node.slice)
            if isinstance(index, Const) and -len(items) <= index.value < len(items):
                return self.from_live(items[index.value], "", None)
        base = self.materialise(base, node.value)
        if isinstance(node.slice, ast.Slice):
            return self.subview(base, node.slice, node)
        t = strip(base.type)
        if isinstance(t, (ClassType, StructType)):
            return self.call_dunder_value(base, "__getitem__", [self.item_index(base, node.slice, node)], node)
        return self.load(self.element(base, node.slice, node))

    def item_index(self, base: Value, node: ast.expr, where: ast.AST) -> Value:
        """The index of a container's item; a negative constant counts from the end of a list or deque."""
        index = self.expr(node)
        t = strip(base.type)
        if isinstance(index, Const) and is_int(index.type) and index.value < 0 and isinstance(t, ClassType):
            if t.info.py.__module__ in ("kaa.lang.builtins.list", "kaa.lang.builtins.deque"):
                length = self.call_dunder_value(base, "__len__", [], where)
                out = self.temp(U64)
                self.emit(ir.Raw(out, f"{{0}} - {-index.value}ULL", [length]))
                return out
        it = strip(index.type)
        if (
            isinstance(it, IntType)
            and it.signed
            and isinstance(t, ClassType)
            and t.info.py.__module__.startswith("kaa.lang.builtins.list")
        ):
            self.check("{0} >= 0", [index], "index")
            return self._cast_op(index, U64)
        return index

    def call_dunder_value(self, base: Value, name: str, args: list[Value], node: ast.AST) -> Value:
        raise NotImplementedError

    @staticmethod
    def _is_type(live: Live) -> bool:
        obj = live.obj
        return (
            isinstance(obj, type) or typing.get_origin(obj) is not None or obj in CALLABLE if _hashable(obj) else False
        )

    def _tuple_item(self, base: TupleValue, node: ast.Subscript) -> Value:
        index = self.expr(node.slice)
        if (
            not isinstance(index, Const)
            or not isinstance(index.value, int)
            or not -len(base.values) <= index.value < len(base.values)
        ):
            self.error("a tuple is indexed by a constant", node)
        return base.values[index.value]

    def element(self, base: Value, index_node: ast.expr, node: ast.AST) -> ElementPlace:
        """The place base[index], bounds checked unless base is a Ptr."""
        t = strip(base.type)
        index = self.decide(self.expr(index_node), index_node)
        if not is_int(index.type):
            self.error(f"an index is an integer, not {index.type}", index_node)
        if isinstance(t, PtrType):
            return ElementPlace(base, index, t.element)
        if isinstance(t, ArrayType):
            length: Value = Const(U64, t.length)
            index = self._checked_index(index, length, t.length)
            return ElementPlace(base, index, t.element)
        if isinstance(t, (SliceType, BytesType)):
            view = self.bytes_view(base) if isinstance(t, BytesType) else base
            element = U8 if isinstance(t, BytesType) else t.element
            length = self.view_length(view)
            index = self._checked_index(index, length, None)
            return ElementPlace(self.view_pointer(view, element), index, element)
        self.error(f"{t} cannot be indexed", node)

    def view_length(self, view: Value) -> Value:
        out = self.temp(U64)
        self.emit(ir.Raw(out, "{0}.n", [view]))
        return out

    def view_pointer(self, view: Value, element: Type) -> Value:
        t = PtrType(element)
        out = self.temp(t)
        self.emit(ir.Raw(out, f"({t.c}){{0}}.p", [view]))
        return out

    def _checked_index(self, index: Value, length: Value, fixed: int | None) -> Value:
        if isinstance(index, Const):
            if index.value < 0:
                if fixed is not None:
                    index = Const(U64, index.value + fixed)
                else:
                    out = self.temp(U64)
                    self.emit(ir.Raw(out, f"{{0}} - {-index.value}ULL", [length]))
                    self.check("{0} < {1}", [out, length], "index")
                    return out
            if fixed is not None:
                if not 0 <= index.value < fixed:
                    self.error(f"index {index.value} is out of range for length {fixed}")
                return Const(U64, index.value)
        self.check("(u64){0} < {1}", [index, length], "index")
        return index

    def subview(self, base: Value, s: ast.Slice, node: ast.AST) -> Value:
        """base[lower:upper]: a view; bounds beyond the end are cut, as Python does."""
        t = strip(base.type)
        if s.step is not None:
            self.error("a view has no step", node)
        if isinstance(t, ClassType):
            return self.slice_method(base, s, node)
        if isinstance(t, BytesType):
            base, t = self.bytes_view(base), VIEW
        elif isinstance(t, ArrayType):
            view = self.temp(SliceType(t.element))
            self.emit(ir.Raw(view, f"(kaa_slice){{{{(u8 *){{0}}, {t.length}}}}}", [base]))
            base, t = view, SliceType(t.element)
        if not isinstance(t, SliceType):
            self.error(f"{t} cannot be sliced", node)
        size = ir.Symbol(U64, f"sizeof({stored_c(t.element)})")
        length = self.view_length(base)
        low = self._bound(s.lower, length) if s.lower is not None else None
        high = self._bound(s.upper, length) if s.upper is not None else None
        if low is None and high is None:
            return base
        out = self.temp(t)
        low = low or Const(U64, 0)
        if not t.readonly:
            # a mutable view is a window that the program measured: a bound beyond it is a bug, not the end of a text
            high = high or length
            self.check("(u64){0} <= (u64){1} && (u64){1} <= {2}", [low, high, length], "index")
            self.emit(ir.Raw(out, "(kaa_slice){{{0}.p + {1} * {3}, {2} - {1}}}", [base, low, high, size]))
        elif high is None:
            self.emit(ir.Raw(out, "kaa_slice_from({0}, {1}, {2})", [base, low, size]))
        else:
            self.emit(ir.Raw(out, "kaa_slice_cut({0}, {1}, {2}, {3})", [base, low, high, size]))
        return out

    def slice_method(self, base: Value, s: ast.Slice, node: ast.AST) -> Value:
        self.error(f"{base.type} cannot be sliced", node)

    def _bound(self, node: ast.expr, length: Value) -> Value:
        v = self.decide(self.expr(node), node)
        if isinstance(v, Const) and v.value < 0:
            out = self.temp(U64)
            self.emit(ir.Raw(out, f"kaa_from_end({{0}}, {-v.value})", [length]))
            return out
        t = strip(v.type)
        if isinstance(t, IntType) and t.signed:
            self.check("{0} >= 0", [v], "index")
        return v

    # ---- others ------------------------------------------------------------------------------------------------------

    def expr_Tuple(self, node: ast.Tuple, expected: Type | None) -> Value:
        parts = (
            expected.parts
            if isinstance(expected, TupleType) and len(expected.parts) == len(node.elts)
            else [None] * len(node.elts)
        )
        return TupleValue([self._settled(self.expr(e, p), e, p) for e, p in zip(node.elts, parts, strict=True)])

    def _settled(self, value: Value, node: ast.expr, expected: Type | None) -> Value:
        """A value that later parts of the expression cannot change."""
        value = self.materialise(value, node, expected)
        if expected is not None:
            value = self.coerce(value, expected, node)
        if isinstance(value, Var) and not value.temp and not value.param and not isinstance(strip(value.type), PLACES):
            out = self.temp(value.type)
            self.emit(ir.Assign(out, value))
            return out
        return value

    def expr_IfExp(self, node: ast.IfExp, expected: Type | None) -> Value:
        yes, no, end = self.new_block("then"), self.new_block("else"), self.new_block("end")
        t_facts, f_facts = self.cond(node.test, yes, no)
        before = dict(self.facts)
        self.place_block(yes)
        self.facts.update(t_facts)
        a = self._branch_value(node.body, expected)
        a_block, a_reach = self.block, self.reachable
        self.facts = dict(before)
        # the type of the result is known only after both: the second branch is lowered into its own block first
        self.reachable = True
        self.blocks.append(no)
        self.block = no
        self.facts.update(f_facts)
        b = self._branch_value(node.orelse, expected)
        self.facts = before
        t = expected if expected is not None and not is_int(expected) else join(a.type, b.type)
        if isinstance(a.type, LitType) and isinstance(b.type, LitType):
            t = IntVar()
        if isinstance(t, IntVar) or t is None or isinstance(t, NoneType):
            t = t or self.error(f"the two sides are {a.type} and {b.type}: one type cannot hold both", node)
        if isinstance(t, SliceType) or isinstance(t, PLACES):
            self.keep_temps()
        out = self.temp(t)
        b = self.coerce(b, t, node.orelse)
        self.emit(ir.Assign(out, b))
        self.goto(end)
        self.block, self.reachable = a_block, a_reach
        a = self.coerce(a, t, node.body)
        self.emit(ir.Assign(out, a))
        self.goto(end)
        self.place_block(end)
        return out

    def _branch_value(self, node: ast.expr, expected: Type | None) -> Value:
        v = self.materialise(self.expr(node, expected), node, expected)
        if isinstance(v, TupleValue):
            self.error("a conditional expression cannot be a tuple", node)
        return v

    def expr_NamedExpr(self, node: ast.NamedExpr, expected: Type | None) -> Value:
        assert isinstance(node.target, ast.Name)
        v = self.value(node.value, expected)
        self.assign_name(node.target.id, v, node)
        return self.expr_Name(ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target), None)

    def expr_Lambda(self, node: ast.Lambda, expected: Type | None) -> Value:
        return LambdaValue(node, self.frame, list(self.inline_stack))

    def expr_GeneratorExp(self, node: ast.GeneratorExp, expected: Type | None) -> Value:
        return ComprehensionValue(node, self.frame)

    def expr_JoinedStr(self, node: ast.JoinedStr, expected: Type | None) -> Value:
        return self.text(node)

    def text(self, node: ast.JoinedStr) -> Value:
        raise NotImplementedError

    # ---- provided by the other parts ---------------------------------------------------------------------------------

    def cond(
        self, node: ast.expr, yes: ir.Block, no: ir.Block
    ) -> tuple[dict[tuple[str, ...], Type], dict[tuple[str, ...], Type]]:
        raise NotImplementedError

    def call_method(
        self, method: BoundMethod, args: list[ast.expr], keywords: list[ast.keyword], node: ast.AST
    ) -> Value:
        raise NotImplementedError

    def call_dunder(self, base: Value, name: str, args: list[ast.expr], node: ast.AST) -> Value:
        raise NotImplementedError

    def assign_name(self, name: str, value: Value, node: ast.AST) -> None:
        raise NotImplementedError

    def assign(self, target: ast.expr, value: Value, node: ast.AST) -> None:
        raise NotImplementedError


def _hashable(obj: object) -> bool:
    try:
        hash(obj)
    except TypeError:
        return False
    return True


def _plain(node: ast.AST) -> str:
    return {
        "Await": "await", "Yield": "yield as a value", "Set": "a set", "SetComp": "a set comprehension",
        "DictComp": "a dict comprehension", "Starred": "*",
    }.get(type(node).__name__, type(node).__name__)  # fmt: skip


__all__ = ["BOOL", "AtomicType", "CompileError", "Expressions", "Frame", "lang"]
