# SPDX-License-Identifier: Apache-2.0
"""Built-in functions, conversions, and the functions of kaa.lang."""

from __future__ import annotations

import ast
import dataclasses
import typing
import weakref
from typing import Any

import kaa.lang as lang
from kaa.compiler import ir
from kaa.compiler.classes import size_align
from kaa.compiler.ir import Const, ElementPlace, Value
from kaa.compiler.lower.calls import Calls
from kaa.compiler.lower.values import IterValue, Live, TupleValue
from kaa.compiler.types import (
    BOOL,
    BYTES,
    I64,
    NONE,
    U8,
    U32,
    U64,
    VIEW,
    ArrayType,
    AtomicType,
    BoolType,
    BytesType,
    ClassType,
    IntType,
    IntVar,
    LitType,
    OptionalType,
    PtrType,
    SliceType,
    StructType,
    Type,
    is_int,
    nonnull,
    strip,
)
from kaa.lang import unsafe

VECTOR_C = {
    "leading_zeros": "kaa_clz({0}, sizeof({0}))",
    "trailing_zeros": "kaa_ctz({0}, sizeof({0}))",
    "popcount": "__builtin_popcountll((u64){0})",
}
LANG = (
    "wrapping_add", "wrapping_sub", "wrapping_mul", "rotate_left", "leading_zeros", "trailing_zeros", "popcount",
    "byteswap", "sizeof", "offset_of", "as_bytes", "copy", "unreachable", "Atomic",
)  # fmt: skip
UNSAFE = (
    "address_of", "class_at", "adopt", "retain", "leak", "same", "volatile_load", "volatile_store", "fence",
    "acquire_fence", "release_fence",
    "compiler_barrier", "allocate", "release", "move", "copy_bytes", "zero", "symbol", "function_address",
    "text_pieces", "hash_key",
)  # fmt: skip


class Builtins(Calls):
    """Dispatch on the live object called."""

    def builtin(self, obj: Any, node: ast.Call, expected: Type | None) -> Value | None:
        handler = TABLE.get(id(obj))
        return getattr(self, handler)(node, expected) if handler is not None else None

    # ---- Python's ----------------------------------------------------------------------------------------------------

    def b_len(self, node: ast.Call, expected: Type | None) -> Value:
        v = self.expr(node.args[0])
        if isinstance(v, TupleValue):
            return Const(LitType(len(v.values)), len(v.values))
        if isinstance(v, Live) and isinstance(v.obj, bytes):
            return Const(LitType(len(v.obj)), len(v.obj))
        v = self.materialise(v, node.args[0])
        t = strip(v.type)
        if isinstance(t, ArrayType):
            return Const(LitType(t.length), t.length)
        if isinstance(t, SliceType):
            return self.view_length(v)
        if isinstance(t, BytesType):
            out = self.temp(U64)
            self.emit(ir.Raw(out, "{0}->n", [v]))
            return out
        if isinstance(t, OptionalType):
            self.error(f"this may be None ({t}); test it first", node.args[0])
        return (
            self.call_dunder_value(v, "__len__", [], node)
            if isinstance(t, (ClassType, StructType))
            else self.error(f"{t} has no len()", node)
        )

    def iterable(self, node: ast.expr) -> Value:
        """What a for goes over; a list written in place needs no list."""
        if isinstance(node, ast.List):
            return self.expr_Tuple(ast.copy_location(ast.Tuple(node.elts, ast.Load()), node), None)
        return self.expr(node)

    def _iterator(self, kind: str, node: ast.Call) -> Value:
        args = [self.iterable(a) for a in node.args] + [self.expr(k.value) for k in node.keywords]
        return IterValue(kind, args)

    def b_range(self, node: ast.Call, expected: Type | None) -> Value:
        return IterValue(
            "range",
            [
                self._settled(self.expr(a), a, None) if not isinstance(a, ast.Constant) else self.expr(a)
                for a in node.args
            ],
        )

    def b_enumerate(self, node: ast.Call, expected: Type | None) -> Value:
        return self._iterator("enumerate", node)

    def b_reversed(self, node: ast.Call, expected: Type | None) -> Value:
        return self._iterator("reversed", node)

    def b_zip(self, node: ast.Call, expected: Type | None) -> Value:
        return self._iterator("zip", [*[node]][0])

    def b_isinstance(self, node: ast.Call, expected: Type | None) -> Value:
        return self.bool_value(node)

    def _extreme(self, node: ast.Call, expected: Type | None, op: str) -> Value:
        if len(node.args) == 1:
            return self.reduce(node, op, expected)
        values = [self.expr(a, expected) for a in node.args]
        if all(isinstance(v, Const) and isinstance(v.type, LitType) for v in values):
            numbers = [v.value for v in values if isinstance(v, Const)]
            v = min(numbers) if op == "<" else max(numbers)
            return Const(LitType(v), v)
        best = self.decide(values[0], node)
        for v in values[1:]:
            v = self.materialise(v, node)
            t = self.arithmetic_type(best, v, "min" if op == "<" else "max", node)
            best, v = self.coerce(best, t, node), self.coerce(v, t, node)
            out = self.temp(t)
            self.emit(ir.Raw(out, f"({{1}} {op} {{0}} ? {{1}} : {{0}})", [best, v]))
            best = out
        return best

    def b_min(self, node: ast.Call, expected: Type | None) -> Value:
        return self._extreme(node, expected, "<")

    def b_max(self, node: ast.Call, expected: Type | None) -> Value:
        return self._extreme(node, expected, ">")

    def b_abs(self, node: ast.Call, expected: Type | None) -> Value:
        v = self.decide(self.expr(node.args[0], expected), node)
        out, negative = self.temp(v.type), self.temp(v.type)
        self.emit(ir.Op(negative, "neg_abs", [v], checked=True))
        self.emit(ir.Assign(out, negative))
        return out

    def b_any(self, node: ast.Call, expected: Type | None) -> Value:
        return self.reduce(node, "any", BOOL)

    def b_all(self, node: ast.Call, expected: Type | None) -> Value:
        return self.reduce(node, "all", BOOL)

    def b_sum(self, node: ast.Call, expected: Type | None) -> Value:
        return self.reduce(node, "sum", expected)

    def reduce(self, node: ast.Call, kind: str, expected: Type | None) -> Value:
        raise NotImplementedError

    def b_cast(self, node: ast.Call, expected: Type | None) -> Value:
        """typing.cast: trusted only where it changes nothing at run time but the class; checked."""
        to = self.annotation_of(node.args[0])
        v = self.value(node.args[1])
        a, b = nonnull(strip(v.type)), nonnull(to)
        if isinstance(a, ClassType) and isinstance(b, ClassType):
            if not a.info.is_subclass(b.info):
                if isinstance(strip(v.type), OptionalType) and not isinstance(to, OptionalType):
                    self.check("{0} != 0", [v], "none")
                guard = "{0} == 0 || " if isinstance(to, OptionalType) else ""
                self.check(f"{guard}kaa_is_instance({{0}}, {self.program.freezer.class_range(b.info)})", [v], "assert")
            elif isinstance(strip(v.type), OptionalType) and not isinstance(to, OptionalType):
                self.check("{0} != 0", [v], "none")
            return self._cast(v, to)
        return self.coerce(v, to, node)

    def annotation_of(self, node: ast.expr) -> Type:
        return self.program.annotations.resolve(node, self.frame.module, self.frame.typevars)

    def b_id(self, node: ast.Call, expected: Type | None) -> Value:
        v = self.value(node.args[0])
        out = self.temp(U64)
        self.emit(ir.Raw(out, "(u64){0}", [v]))
        return out

    # ---- conversions -------------------------------------------------------------------------------------------------

    def convert(self, t: Type, node: ast.Call) -> Value:
        """u32(x), int(flag), bool(x), bytes(view)."""
        if isinstance(t, BytesType):
            return self._bytes(node)
        if not node.args:
            if isinstance(t, (IntType, BoolType)):
                return Const(t, 0)
            self.error(f"{t}() needs a value", node)
        if isinstance(t, BoolType):
            return self.truth(self.value(node.args[0]), node)
        if not isinstance(t, IntType):
            self.error(f"{t}(...) is not a conversion", node)
        v = self.expr(node.args[0], None)
        if isinstance(v, Const) and isinstance(v.type, (LitType, BoolType)):
            n = int(v.value) & ((1 << t.bits) - 1)
            return Const(t, n - (1 << t.bits) if t.signed and n > t.high else n)
        v = self.materialise(v, node)
        have = strip(v.type)
        if isinstance(have, IntVar):
            self.default_int(have)
        if isinstance(have, (ClassType, StructType)) and have.info.find("__int__"):
            return self.coerce(self.call_dunder_value(v, "__int__", [], node), t, node)
        if not (is_int(have) or isinstance(have, BoolType)):
            self.error(f"{have} does not convert to {t}", node)
        return self._cast_op(v, t) if have != t else v

    def _bytes(self, node: ast.Call) -> Value:
        out = self.temp(BYTES)
        if not node.args:
            return self.materialise(Live(b""), node)
        v = self.expr(node.args[0])
        v = self.materialise(v, node)
        t = strip(v.type)
        if is_int(t):
            v = self.coerce(v, U64, node)
            self.emit(ir.RawRaising(out, "kaa_bytes_zeroed({0})", [v], self.handler()))
        elif isinstance(t, BytesType):
            return v
        else:
            if isinstance(t, ArrayType) and t.element == U8:
                view = self.temp(VIEW)
                self.emit(ir.Raw(view, f"(kaa_slice){{{{(u8 *){{0}}, {t.length}}}}}", [v]))
                v = view
            v = self.coerce(v, VIEW, node)
            self.emit(ir.RawRaising(out, "kaa_bytes_new({0})", [v], self.handler()))
        return out

    def construct_builtin(self, t: Type, node: ast.Call) -> Value:
        """Ptr[T](address), Array[T, N](), Slice…, Atomic(x)."""
        if isinstance(t, PtrType):
            v = self.coerced(node.args[0], U64) if node.args else Const(U64, 0)
            return self._cast_op(v, t)
        if isinstance(t, ArrayType):
            out = self.temp(t, "a")
            self.emit(ir.Fresh(out))
            if node.args:
                items = node.args[0]
                if not isinstance(items, (ast.List, ast.Tuple)) or len(items.elts) > t.length:
                    self.error("an Array is made from a list of its elements", node)
                for i, e in enumerate(items.elts):
                    self.emit(ir.Store(ElementPlace(out, Const(U64, i), t.element), self.coerced(e, t.element)))
            return out
        if isinstance(t, AtomicType):
            return self._atomic(t, node)
        if isinstance(t, SliceType) and not node.args:
            out = self.temp(t)
            self.emit(ir.Raw(out, "(kaa_slice){{0, 0}}", []))
            return out
        self.error(f"{t}(...) cannot be constructed", node)

    def b_Atomic(self, node: ast.Call, expected: Type | None) -> Value:
        t = strip(expected) if expected is not None else None
        if isinstance(t, AtomicType):
            return self._atomic(t, node)
        if t is not None and (is_int(t) or isinstance(t, BoolType)):
            return self.coerced(node.args[0], t)
        v = self.expr(node.args[0])
        return self._atomic(AtomicType(self.default_int(v.type)), node)

    def _atomic(self, t: AtomicType, node: ast.Call) -> Value:
        out = self.temp(t)
        self.emit(ir.Fresh(out))
        if node.args:
            self.emit(ir.Raw(None, "*{0} = {1}", [out, self.coerced(node.args[0], t.element)]))
        return out

    def construct_container(self, py: type, node: ast.Call, expected: Type | None) -> Value:
        t = strip(expected) if expected is not None else None
        t = t.inner if isinstance(t, OptionalType) else t
        if not isinstance(t, ClassType) or t.info.py is not self.program.container(py):
            self.error(f"{py.__name__}() needs to know of what: annotate the variable", node)
        out = self.construct(t.info, [], node)
        if node.args:
            self.extend_container(out, node.args[0], node)
        return out

    def extend_container(self, out: Value, source: ast.expr, node: ast.AST) -> None:
        raise NotImplementedError

    # ---- kaa.lang ----------------------------------------------------------------------------------------------------

    def _wrapping(self, node: ast.Call, expected: Type | None, op: str) -> Value:
        a = self.expr(node.args[0])
        b = self.expr(node.args[1])
        t = strip(a.type) if not isinstance(a.type, LitType) else strip(b.type)
        if isinstance(t, LitType):
            t = strip(expected) if isinstance(expected, IntType) else I64
        a = self.coerce(a, t, node)
        b = self.coerce(b, t, node)
        out = self.temp(t)
        self.emit(ir.Op(out, op, [a, b]))
        return out

    def b_wrapping_add(self, node: ast.Call, expected: Type | None) -> Value:
        return self._wrapping(node, expected, "add")

    def b_wrapping_sub(self, node: ast.Call, expected: Type | None) -> Value:
        return self._wrapping(node, expected, "sub")

    def b_wrapping_mul(self, node: ast.Call, expected: Type | None) -> Value:
        return self._wrapping(node, expected, "mul")

    def b_rotate_left(self, node: ast.Call, expected: Type | None) -> Value:
        a, n = self.decide(self.expr(node.args[0], expected)), self.decide(self.expr(node.args[1]))
        out = self.temp(a.type)
        self.emit(ir.Raw(out, "kaa_rotl({0}, {1}, sizeof({0}))", [a, n]))
        return out

    def _bits(self, node: ast.Call, name: str) -> Value:
        a = self.decide(self.expr(node.args[0]))
        out = self.temp(U32)
        self.emit(ir.Raw(out, VECTOR_C[name], [a]))
        return out

    def b_leading_zeros(self, node: ast.Call, expected: Type | None) -> Value:
        return self._bits(node, "leading_zeros")

    def b_trailing_zeros(self, node: ast.Call, expected: Type | None) -> Value:
        return self._bits(node, "trailing_zeros")

    def b_popcount(self, node: ast.Call, expected: Type | None) -> Value:
        return self._bits(node, "popcount")

    def b_byteswap(self, node: ast.Call, expected: Type | None) -> Value:
        a = self.decide(self.expr(node.args[0], expected))
        bits = self.default_int(a.type).bits
        out = self.temp(a.type)
        self.emit(ir.Raw(out, f"__builtin_bswap{bits}({{0}})" if bits > 8 else "{0}", [a]))
        return out

    def b_sizeof(self, node: ast.Call, expected: Type | None) -> Value:
        t = self.annotation_of(node.args[0])
        n = size_align(t)[0]  # of a class: of a reference to it
        return Const(LitType(n), n)

    def b_offset_of(self, node: ast.Call, expected: Type | None) -> Value:
        t = strip(self.annotation_of(node.args[0]))
        name = node.args[1].value if isinstance(node.args[1], ast.Constant) else None
        if not isinstance(t, StructType):
            self.error(f"offset_of is for structs, not {t}", node)
        if not isinstance(name, str) or name not in t.info.fields:
            self.error(f"{t} has no field {ast.unparse(node.args[1])}", node.args[1])
        n = t.info.offset_of(name)
        return Const(LitType(n), n)

    def b_as_bytes(self, node: ast.Call, expected: Type | None) -> Value:
        v = self.value(node.args[0])
        t = strip(v.type)
        if not isinstance(t, (StructType, ArrayType)):
            self.error(f"as_bytes is for structs and arrays, not {t}", node)
        if isinstance(t, ArrayType):
            self.refuse_references(t.element, node)
        out = self.temp(SliceType(U8))
        self.emit(ir.Raw(out, f"(kaa_slice){{{{(u8 *){{0}}, {size_align(t)[0]}}}}}", [v]))
        return out

    def b_copy(self, node: ast.Call, expected: Type | None) -> Value:
        v = self.value(node.args[0])
        t = strip(v.type)
        if isinstance(t, ArrayType):
            self.refuse_references(t.element, node)
        out = self.temp(v.type, "s")
        self.emit(ir.Fresh(out, zero=False))
        self.emit(ir.CopyPlace(out, v))
        return out

    def b_unreachable(self, node: ast.Call, expected: Type | None) -> Value:
        self.end(ir.Trap("unreachable"))
        return Const(NONE, None)

    def b_replace(self, node: ast.Call, expected: Type | None) -> Value:
        self.error("dataclasses.replace cannot be compiled", node)


def _table() -> dict[int, str]:
    out: dict[int, str] = {}
    python: dict[str, Any] = {
        "len": len, "range": range, "enumerate": enumerate, "reversed": reversed, "zip": zip, "isinstance": isinstance,
        "min": min, "max": max, "abs": abs, "any": any, "all": all, "sum": sum, "id": id, "cast": typing.cast,
        "replace": dataclasses.replace,
    }  # fmt: skip
    for name, obj in python.items():
        out[id(obj)] = "b_" + name
    for name in LANG:
        out[id(getattr(lang, name))] = "b_" + name
    for name in UNSAFE:
        out[id(getattr(unsafe, name))] = "u_" + name
    out[id(weakref.ref)] = "w_ref"
    return out


TABLE = _table()
