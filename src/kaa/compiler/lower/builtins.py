# SPDX-License-Identifier: Apache-2.0
"""Built-in functions, the functions of kaa.lang and kaa.lang.unsafe, and methods of built-in types."""

from __future__ import annotations

import ast
import dataclasses
import typing
import weakref
from collections.abc import Callable
from typing import Any

import kaa.lang as lang
from kaa.compiler import ir
from kaa.compiler.classes import size_align
from kaa.compiler.ir import Const, ElementPlace, Value
from kaa.compiler.lower.calls import Calls
from kaa.compiler.lower.core import PLACES
from kaa.compiler.lower.values import BuiltinMethod, ComprehensionValue, IterValue, Live, TupleValue
from kaa.compiler.types import (
    BOOL,
    BYTES,
    I64,
    NONE,
    STR,
    U8,
    U32,
    U64,
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
    OptionalType,
    PtrType,
    SliceType,
    StructType,
    Type,
    WeakType,
    is_counted,
    is_int,
    nonnull,
    stored_c,
    strip,
)
from kaa.lang import unsafe

VECTOR_C = {
    "leading_zeros": "kaa_clz({0}, sizeof({0}))",
    "trailing_zeros": "kaa_ctz({0}, sizeof({0}))",
    "popcount": "__builtin_popcountll((u64){0})",
}
BARRIER_C = {
    "fence": "__atomic_thread_fence(__ATOMIC_SEQ_CST)",
    "compiler_barrier": '__asm__ volatile("" ::: "memory")',
}
UNSAFE_C = {
    "move": "__builtin_memmove((void *){0}, (void *){1}, {2})",
    "copy_bytes": "__builtin_memcpy((void *){0}, (void *){1}, {2})",
    "zero": "__builtin_memset((void *){0}, 0, {1})",
}
ATOMIC_C = {
    "load": "__atomic_load_n({0}, __ATOMIC_SEQ_CST)", "load_relaxed": "__atomic_load_n({0}, __ATOMIC_RELAXED)",
    "exchange": "__atomic_exchange_n({0}, {1}, __ATOMIC_SEQ_CST)", "fetch_add": "__atomic_fetch_add({0}, {1}, __ATOMIC_SEQ_CST)",
    "fetch_sub": "__atomic_fetch_sub({0}, {1}, __ATOMIC_SEQ_CST)", "fetch_or": "__atomic_fetch_or({0}, {1}, __ATOMIC_SEQ_CST)",
    "fetch_and": "__atomic_fetch_and({0}, {1}, __ATOMIC_SEQ_CST)",
}  # fmt: skip


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

    # ---- kaa.lang.unsafe ---------------------------------------------------------------------------------------------

    def u_address_of(self, node: ast.Call, expected: Type | None) -> Value:
        v = self.value(node.args[0])
        t = strip(v.type)
        out = self.temp(U64)
        if isinstance(t, SliceType):
            self.emit(ir.Raw(out, "(u64){0}.p", [v]))
        elif isinstance(t, BytesType):
            self.emit(ir.Raw(out, "(u64){0}->data", [v]))
        elif isinstance(t, PLACES) or is_counted(t):
            self.emit(ir.Raw(out, "(u64){0}", [v]))
        else:
            self.error(f"{t} has no address", node)
        return out

    def u_class_at(self, node: ast.Call, expected: Type | None) -> Value:
        t = self.annotation_of(node.args[0])
        v = self.coerced(node.args[1], U64)
        out = self.temp(t)
        self.emit(ir.Raw(out, f"({t.c}){{0}}", [v]))
        return out

    def u_adopt(self, node: ast.Call, expected: Type | None) -> Value:
        t = self.annotation_of(node.args[0])
        out = self.temp(t)
        self.emit(ir.Raw(out, f"({t.c}){{0}}", [self.coerced(node.args[1], U64)], takes=True))
        return out

    def u_retain(self, node: ast.Call, expected: Type | None) -> Value:
        self.emit(ir.Retain(self.value(node.args[0])))
        return Const(NONE, None)

    def u_leak(self, node: ast.Call, expected: Type | None) -> Value:
        v = self.value(node.args[0])
        self.emit(ir.Retain(v))
        out = self.temp(U64)
        self.emit(ir.Raw(out, "(u64){0}", [v]))
        return out

    def u_hash_key(self, node: ast.Call, expected: Type | None) -> Value:
        from kaa.lang.builtins import hashing

        v = self.decide(self.expr(node.args[0]), node)
        if is_int(v.type):
            return self.call_function(hashing.hash_integer, None, None, [(None, self._cast_op(v, U64))], node)
        return self.call_function(hashing.hash_bytes, None, None, [(None, self.coerce(v, VIEW, node))], node)

    def u_same(self, node: ast.Call, expected: Type | None) -> Value:
        a, b = self.value(node.args[0]), self.value(node.args[1])
        t = strip(a.type)
        if isinstance(nonnull(t), ClassType) and (isinstance(t, OptionalType) or t.info.find("__eq__") is None):  # type: ignore[union-attr]
            out = self.temp(BOOL)
            self.emit(ir.Raw(out, "((u64){0} == (u64){1})", [a, b]))
            return out
        return self.compare_values(a, ast.Eq(), b, node)

    def u_volatile_load(self, node: ast.Call, expected: Type | None) -> Value:
        p = self.value(node.args[0])
        t = strip(p.type)
        assert isinstance(t, PtrType)
        out = self.temp(t.element)
        self.emit(ir.Raw(out, f"*(volatile {stored_c(t.element)} *){{0}}", [p]))
        return out

    def u_volatile_store(self, node: ast.Call, expected: Type | None) -> Value:
        p = self.value(node.args[0])
        t = strip(p.type)
        assert isinstance(t, PtrType)
        v = self.coerced(node.args[1], t.element)
        self.emit(ir.Raw(None, f"*(volatile {stored_c(t.element)} *){{0}} = {{1}}", [p, v]))
        return Const(NONE, None)

    def u_fence(self, node: ast.Call, expected: Type | None) -> Value:
        self.emit(ir.Raw(None, BARRIER_C["fence"], []))
        return Const(NONE, None)

    def u_compiler_barrier(self, node: ast.Call, expected: Type | None) -> Value:
        self.emit(ir.Raw(None, BARRIER_C["compiler_barrier"], []))
        return Const(NONE, None)

    def u_allocate(self, node: ast.Call, expected: Type | None) -> Value:
        out = self.temp(U64)
        self.emit(ir.RawRaising(out, "kaa_buffer_alloc({0})", [self.coerced(node.args[0], U64)], self.handler()))
        return out

    def u_release(self, node: ast.Call, expected: Type | None) -> Value:
        args = [self.coerced(a, U64) for a in node.args]
        self.emit(ir.Raw(None, "kaa_buffer_free({0}, {1})", args))
        return Const(NONE, None)

    def _memory(self, node: ast.Call, name: str) -> Value:
        self.emit(ir.Raw(None, UNSAFE_C[name], [self.coerced(a, U64) for a in node.args]))
        return Const(NONE, None)

    def u_move(self, node: ast.Call, expected: Type | None) -> Value:
        return self._memory(node, "move")

    def u_copy_bytes(self, node: ast.Call, expected: Type | None) -> Value:
        return self._memory(node, "copy_bytes")

    def u_zero(self, node: ast.Call, expected: Type | None) -> Value:
        return self._memory(node, "zero")

    def u_symbol(self, node: ast.Call, expected: Type | None) -> Value:
        name = node.args[0]
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            self.error("symbol() takes a constant name", node)
        out = self.temp(U64)
        self.emit(ir.Raw(out, f"KAA_SYMBOL({name.value})", []))
        return out

    def u_function_address(self, node: ast.Call, expected: Type | None) -> Value:
        live = self.expr(node.args[0])
        if not isinstance(live, Live):
            value = self.materialise(live, node)
            if not isinstance(strip(value.type), FunctionType):
                self.error("function_address() takes a function", node)
            return self._cast_op(value, U64)
        fn = self.program.function(live.obj)
        fn.address_taken = True
        out = self.temp(U64)
        self.emit(ir.Raw(out, f"KAA_SYMBOL({fn.cname})", []))
        return out

    def u_text_pieces(self, node: ast.Call, expected: Type | None) -> Value:
        from kaa.lang.builtins.text import Piece

        v = self.coerced(node.args[0], STR)
        out = self.temp(SliceType(StructType(self.program.class_info(Piece))))
        self.emit(ir.Raw(out, "(kaa_slice){{(u8 *){0}->pieces, {0}->count}}", [v]))
        return out

    def w_ref(self, node: ast.Call, expected: Type | None) -> Value:
        v = self.value(node.args[0])
        t = nonnull(strip(v.type))
        wanted = strip(expected) if expected is not None else None
        wanted = wanted.inner if isinstance(wanted, OptionalType) else wanted
        if not isinstance(t, ClassType):
            self.error(f"weakref.ref of {t}", node)
        out = self.temp(wanted if isinstance(wanted, WeakType) else WeakType(t))
        self.emit(ir.Raw(out, "kaa_weak_new({0})", [v], takes=True))
        return out

    # ---- methods of built-in types -----------------------------------------------------------------------------------

    def call_builtin_method(self, method: BuiltinMethod, node: ast.Call, expected: Type | None) -> Value:
        base = method.receiver
        t = strip(base.type)
        if isinstance(t, PtrType):
            return self._pointer_method(base, t, method.name, node)
        if isinstance(t, AtomicType):
            return self._atomic_method(base, t, method.name, node)
        if isinstance(t, BytesType) or (isinstance(t, SliceType) and t.element == U8):
            found = self._bytes_method(base, method.name, node)
            if found is not None:
                return found
        if isinstance(t, (SliceType, ArrayType)):
            return self._slice_method(base, t, method.name, node)
        self.error(f"{t} has no method '{method.name}'", node)

    def _pointer_method(self, base: Value, t: PtrType, name: str, node: ast.Call) -> Value:
        if name == "cast":
            return self._cast_op(base, PtrType(self.annotation_of(node.args[0])))
        if name == "slice":
            out = self.temp(SliceType(t.element))
            self.emit(ir.Raw(out, "(kaa_slice){{(u8 *){0}, {1}}}", [base, self.coerced(node.args[0], U64)]))
            return out
        if name == "place":
            return self.load(ElementPlace(base, Const(U64, 0), t.element))
        if name == "take":
            index = self.decide(self.expr(node.args[0]))
            out = self.temp(t.element)
            if is_counted(t.element):
                self.emit(
                    ir.Raw(
                        out,
                        f"({t.element.c})kaa_take((void **){{0}} + {{1}})",
                        [base, index],
                        takes=True,
                        writes=ElementPlace(base, index, t.element).key,
                    )
                )
            else:
                self.emit(ir.Load(out, ElementPlace(base, index, t.element)))
            return out
        self.error(f"Ptr has no method '{name}'", node)

    def _atomic_method(self, base: Value, t: AtomicType, name: str, node: ast.Call) -> Value:
        args = [self.coerced(a, t.element) for a in node.args]
        if name in ("store", "store_relaxed"):
            order = "__ATOMIC_SEQ_CST" if name == "store" else "__ATOMIC_RELAXED"
            self.emit(ir.Raw(None, f"__atomic_store_n({{0}}, {{1}}, {order})", [base, *args]))
            return Const(NONE, None)
        if name == "compare_exchange":
            out = self.temp(BOOL)
            c = t.element.c
            template = f"({{{{ {c} kaa_old = {{1}}; __atomic_compare_exchange_n({{0}}, &kaa_old, {{2}}, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); }}}})"
            self.emit(ir.Raw(out, template, [base, *args]))
            return out
        if name not in ATOMIC_C:
            self.error(f"Atomic has no method '{name}'", node)
        out = self.temp(t.element)
        self.emit(ir.Raw(out, ATOMIC_C[name], [base, *args]))
        return out

    def _bytes_method(self, base: Value, name: str, node: ast.Call) -> Value | None:
        view = base if isinstance(strip(base.type), SliceType) else self.bytes_view(base)
        if name in ("startswith", "endswith"):
            out = self.temp(BOOL)
            self.emit(ir.Raw(out, f"kaa_{name}({{0}}, {{1}})", [view, self.coerced(node.args[0], VIEW)]))
            return out
        if name in ("find", "rfind"):
            what = self.decide(self.expr(node.args[0]), node)
            out = self.temp(I64)
            if is_int(what.type):
                self.emit(ir.Raw(out, f"kaa_{name}_byte({{0}}, {{1}})", [view, what]))
            else:
                self.emit(ir.Raw(out, f"kaa_{name}({{0}}, {{1}})", [view, self.coerce(what, VIEW, node)]))
            return out
        if name == "copy_to":
            self.emit(ir.Raw(None, "kaa_slice_copy({0}, {1}, 1)", [self.coerced(node.args[0], SliceType(U8)), view]))
            return Const(NONE, None)
        return None

    def _slice_method(self, base: Value, t: SliceType | ArrayType, name: str, node: ast.Call) -> Value:
        if isinstance(t, ArrayType):
            view = self.temp(SliceType(t.element))
            self.emit(ir.Raw(view, f"(kaa_slice){{{{(u8 *){{0}}, {t.length}}}}}", [base]))
        else:
            view = self.temp(t)
            self.emit(ir.Assign(view, base))
        self.refuse_references(t.element, node)
        if name == "fill" and not isinstance(t.element, PLACES):
            v = self.coerced(node.args[0], t.element)
            p = self.view_pointer(view, t.element)
            c = stored_c(t.element)
            if t.element == U8:
                self.emit(ir.Raw(None, "__builtin_memset({0}, {1}, {2}.n)", [p, v, view]))
            else:
                self.emit(
                    ir.Raw(
                        None,
                        f"({{{{ {c} *kaa_p = {{0}}; for (u64 kaa_i = 0; kaa_i < {{2}}.n; kaa_i++) kaa_p[kaa_i] = {{1}}; }}}})",
                        [p, v, view],
                    )
                )
            return Const(NONE, None)
        if name == "copy_from":
            source_type: Type = VIEW if t.element == U8 else SliceType(t.element)
            source = self.coerced(node.args[0], source_type)
            self.emit(ir.Raw(None, f"kaa_slice_copy({{0}}, {{1}}, sizeof({stored_c(t.element)}))", [view, source]))
            return Const(NONE, None)
        self.error(f"{t} has no method '{name}'", node)


def _table() -> dict[int, str]:
    out: dict[int, str] = {}
    python: dict[str, Any] = {
        "len": len, "range": range, "enumerate": enumerate, "reversed": reversed, "zip": zip, "isinstance": isinstance, "min": min, "max": max,
        "abs": abs, "any": any, "all": all, "sum": sum, "id": id, "cast": typing.cast, "replace": dataclasses.replace,
    }  # fmt: skip
    for name, obj in python.items():
        out[id(obj)] = "b_" + name
    for name in ("wrapping_add", "wrapping_sub", "wrapping_mul", "rotate_left", "leading_zeros", "trailing_zeros", "popcount", "byteswap",
                 "sizeof", "as_bytes", "copy", "unreachable", "Atomic"):  # fmt: skip
        out[id(getattr(lang, name))] = "b_" + name
    for name in ("address_of", "class_at", "adopt", "retain", "leak", "same", "volatile_load", "volatile_store", "fence", "compiler_barrier",
                 "allocate", "release", "move", "copy_bytes", "zero", "symbol", "function_address", "text_pieces", "hash_key"):  # fmt: skip
        out[id(getattr(unsafe, name))] = "u_" + name
    out[id(weakref.ref)] = "w_ref"
    return out


TABLE = _table()

__all__ = ["Builtins", "Callable", "ComprehensionValue"]
