# SPDX-License-Identifier: Apache-2.0
"""C spellings of values, places, types and signatures."""

from __future__ import annotations

from kaa.compiler.freeze import c_int
from kaa.compiler.ir import Const, ElementPlace, Place, Symbol, Value, Var
from kaa.compiler.program import Function
from kaa.compiler.types import (
    I64,
    ArrayType,
    BoolType,
    BytesType,
    ClassType,
    FunctionType,
    IntType,
    IntVar,
    LitType,
    NeverType,
    OptionalType,
    SliceType,
    StructType,
    TupleType,
    Type,
    VoidType,
    WeakType,
    is_place,
    nonnull,
    strip,
)


def resolved(t: Type) -> Type:
    """The final type: an integer that nothing decided is an i64."""
    t = strip(t)
    return I64 if isinstance(t, (IntVar, LitType)) else t


def ctype(t: Type) -> str:
    """The C type of a variable."""
    return resolved(t).c


def value(v: Value) -> str:
    """A value as a C expression."""
    if isinstance(v, Var):
        return v.name
    if isinstance(v, Symbol):
        return f"({v.expr})"
    assert isinstance(v, Const)
    t = resolved(v.type)
    if v.value is None:
        return "0"
    if isinstance(t, (IntType, BoolType)):
        text = c_int(int(v.value), t)
        return text if isinstance(t, BoolType) or t.bits == 64 else f"({text})"
    return f"(({t.c}){int(v.value)})"


def place(p: Place) -> str:
    """A place as a C lvalue."""
    if isinstance(p, ElementPlace):
        return f"{value(p.base)}[{value(p.index)}]"
    return f"{value(p.base)}->{p.field.cname}"


def result_kind(fn_result: Type, raises: bool) -> str:
    """How a function gives its result: "void", "plain", "status", "result" (value and error in registers), "out"
    (through a pointer)."""
    t = resolved(fn_result)
    if isinstance(t, TupleType):
        t = resolved(t.parts[0])
    if isinstance(t, (VoidType, NeverType)):
        return "status" if raises else "void"
    if is_place(t):
        return "place_status" if raises else "place"
    if isinstance(t, SliceType) and raises:
        return "out"
    return "result" if raises else "plain"


def c_result(t: Type, raises: bool) -> str:
    """The C return type."""
    kind = result_kind(t, raises)
    t = resolved(t)
    if isinstance(t, TupleType):
        t = resolved(t.parts[0])
    return {
        "void": "void",
        "status": "u32",
        "place": "void",
        "place_status": "u32",
        "out": "u32",
        "result": "kaa_result",
        "plain": t.c,
    }[kind]


def extra_params(t: Type, raises: bool) -> list[str]:
    """Out parameters after the declared ones."""
    t = resolved(t)
    kind = result_kind(t, raises)
    if isinstance(t, TupleType):
        out = [f"{ctype(p)} *r_{i}" for i, p in enumerate(t.parts) if i > 0]
        return ([f"{ctype(t.parts[0])} *r_0"] if kind == "out" else []) + out
    if kind in ("place", "place_status"):
        return [f"{t.c} p_result"]
    return [f"{t.c} *r_0"] if kind == "out" else []


def param_types(fn: Function) -> list[str]:
    params, result = fn.signature()
    return [ctype(p.type) for p in params] + [
        e.rsplit("r_", 1)[0].rsplit("p_result", 1)[0].strip() for e in extra_params(result, fn.raises)
    ]


def prototype(fn: Function, name: str = "") -> str:
    """The C declaration of a function (or of a copy under another name), without the semicolon."""
    params, result = fn.signature()
    names = [v.name for v in fn.params] or [f"p_{p.name}" for p in params]
    parts = [f"{ctype(p.type)} {n}" for p, n in zip(params, names, strict=True)] + extra_params(result, fn.raises)
    attributes = ""
    if isinstance(resolved(result), NeverType) and not fn.raises:
        attributes = "__attribute__((noreturn)) "
    if "cold" in fn.marks:
        attributes += "__attribute__((cold)) "
    if "noinline" in fn.marks:
        attributes += "__attribute__((noinline)) "
    if fn.local and not name:
        attributes = "static " + attributes
    return f"{attributes}{c_result(result, fn.raises)} {name or fn.cname}({', '.join(parts) or 'void'})"


def dropper(t: Type) -> str:
    """The C name of what runs when the last count of a reference goes."""
    t = nonnull(resolved(t))
    if isinstance(t, BytesType):
        return "kaa_drop_bytes"
    assert isinstance(t, ClassType)
    return "kaa_drop_virtual" if t.info.has_subclasses() else f"kd_{t.info.cname}"


def retain(v: Value) -> str:
    t = resolved(v.type)
    if isinstance(nonnull(t), WeakType):
        return f"KAA_WEAK_RETAIN({value(v)});"
    known = isinstance(v, Symbol) or (isinstance(v, Var) and v.known)
    sure = "" if isinstance(t, OptionalType) and not known else "_SURE"
    return f"KAA_RETAIN{sure}({value(v)});"


def release(v: Value, sure: bool) -> str:
    t = resolved(v.type)
    if isinstance(nonnull(t), WeakType):
        return f"KAA_WEAK_RELEASE({value(v)});"
    return f"KAA_RELEASE{'_SURE' if sure else ''}({value(v)}, {dropper(t)});"


__all__ = ["ArrayType", "FunctionType", "StructType", "c_result", "prototype", "value"]
