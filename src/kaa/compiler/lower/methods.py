# SPDX-License-Identifier: Apache-2.0
"""Methods of built-in types: Ptr, Atomic, bytes, Slice and Array."""

from __future__ import annotations

import ast

from kaa.compiler import ir
from kaa.compiler.ir import Const, ElementPlace, Value
from kaa.compiler.lower.core import PLACES
from kaa.compiler.lower.unsafe_calls import UnsafeCalls
from kaa.compiler.lower.values import BuiltinMethod
from kaa.compiler.types import (
    BOOL,
    I64,
    NONE,
    U8,
    U64,
    VIEW,
    ArrayType,
    AtomicType,
    BytesType,
    PtrType,
    SliceType,
    Type,
    is_counted,
    is_int,
    stored_c,
    strip,
)

ATOMIC_C = {
    "load": "__atomic_load_n({0}, __ATOMIC_SEQ_CST)",
    "load_acquire": "__atomic_load_n({0}, __ATOMIC_ACQUIRE)",
    "load_relaxed": "__atomic_load_n({0}, __ATOMIC_RELAXED)",
    "exchange": "__atomic_exchange_n({0}, {1}, __ATOMIC_SEQ_CST)",
    "fetch_add": "__atomic_fetch_add({0}, {1}, __ATOMIC_SEQ_CST)",
    "fetch_sub": "__atomic_fetch_sub({0}, {1}, __ATOMIC_SEQ_CST)",
    "fetch_or": "__atomic_fetch_or({0}, {1}, __ATOMIC_SEQ_CST)",
    "fetch_and": "__atomic_fetch_and({0}, {1}, __ATOMIC_SEQ_CST)",
}


ATOMIC_STORE_C = {
    "store": "__atomic_store_n({0}, {1}, __ATOMIC_SEQ_CST)",
    "store_release": "__atomic_store_n({0}, {1}, __ATOMIC_RELEASE)",
    "store_relaxed": "__atomic_store_n({0}, {1}, __ATOMIC_RELAXED)",
    "store_release_low": "__atomic_store_n((u8 *){0}, {1}, __ATOMIC_RELEASE)",
}
"""Of these the last one writes the integer's lowest byte alone: machines are little-endian."""


class Methods(UnsafeCalls):
    """A method of a type that has no class of its own."""

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
        args = [self.coerced(a, U8 if name == "store_release_low" else t.element) for a in node.args]
        if name in ATOMIC_STORE_C:
            self.emit(ir.Raw(None, ATOMIC_STORE_C[name], [base, *args]))
            return Const(NONE, None)
        if name == "compare_exchange":
            out = self.temp(BOOL)
            c = t.element.c
            template = (
                f"({{{{ {c} kaa_old = {{1}}; "
                "__atomic_compare_exchange_n({0}, &kaa_old, {2}, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); }})"
            )
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
                template = (
                    f"({{{{ {c} *kaa_p = {{0}}; "
                    "for (u64 kaa_i = 0; kaa_i < {2}.n; kaa_i++) kaa_p[kaa_i] = {1}; }})"
                )
                self.emit(ir.Raw(None, template, [p, v, view]))
            return Const(NONE, None)
        if name == "copy_from":
            source_type: Type = VIEW if t.element == U8 else SliceType(t.element)
            source = self.coerced(node.args[0], source_type)
            self.emit(ir.Raw(None, f"kaa_slice_copy({{0}}, {{1}}, sizeof({stored_c(t.element)}))", [view, source]))
            return Const(NONE, None)
        self.error(f"{t} has no method '{name}'", node)
