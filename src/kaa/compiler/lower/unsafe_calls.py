# SPDX-License-Identifier: Apache-2.0
"""The functions of kaa.lang.unsafe, and weakref.ref."""

from __future__ import annotations

import ast

from kaa.compiler import ir
from kaa.compiler.ir import Const, Value
from kaa.compiler.lower.builtins import Builtins
from kaa.compiler.lower.core import PLACES
from kaa.compiler.lower.values import Live
from kaa.compiler.types import (
    BOOL,
    NONE,
    STR,
    U64,
    VIEW,
    BytesType,
    ClassType,
    FunctionType,
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

BARRIER_C = {
    "fence": "__atomic_thread_fence(__ATOMIC_SEQ_CST)",
    "acquire_fence": "__atomic_thread_fence(__ATOMIC_ACQUIRE)",
    "release_fence": "__atomic_thread_fence(__ATOMIC_RELEASE)",
    "compiler_barrier": '__asm__ volatile("" ::: "memory")',
}
UNSAFE_C = {
    "move": "__builtin_memmove((void *){0}, (void *){1}, {2})",
    "copy_bytes": "__builtin_memcpy((void *){0}, (void *){1}, {2})",
    "zero": "__builtin_memset((void *){0}, 0, {1})",
}


class UnsafeCalls(Builtins):
    """Memory, addresses, counts and barriers, without checks."""

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

    def u_acquire_fence(self, node: ast.Call, expected: Type | None) -> Value:
        self.emit(ir.Raw(None, BARRIER_C["acquire_fence"], []))
        return Const(NONE, None)

    def u_release_fence(self, node: ast.Call, expected: Type | None) -> Value:
        self.emit(ir.Raw(None, BARRIER_C["release_fence"], []))
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
