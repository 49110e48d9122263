# SPDX-License-Identifier: Apache-2.0
"""Module-level objects → initialised data. An object is frozen when compiled code mentions it, with everything it
refers to."""

from __future__ import annotations

import collections
import enum
import types as pytypes
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import kaa.lang as lang
from kaa.compiler import ir
from kaa.compiler.classes import MISSING, ClassInfo
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Const, Symbol, Value
from kaa.compiler.source import unwrap
from kaa.compiler.types import (
    BOOL,
    BYTES,
    I64,
    STR,
    TRAMPOLINE,
    ArrayType,
    AtomicType,
    BitsType,
    BoolType,
    BytesType,
    ClassType,
    FunctionType,
    IntType,
    LitType,
    OptionalType,
    PtrType,
    SliceType,
    StrType,
    StructType,
    TrampolineType,
    Type,
    VoidType,
    WeakType,
    is_int,
    mangle,
    nonnull,
    stored_c,
    strip,
)
from kaa.lang import unsafe

if TYPE_CHECKING:
    from kaa.compiler.program import Function, Program

IMMORTAL = "{0x40000000, 0x40000000, %s}"


@dataclass
class Frozen:
    """One object in the image: its C declaration (without initialiser) and, once written, its initialiser."""

    name: str
    declaration: str
    obj: Any
    type: Type
    initialiser: str = ""

    @property
    def shape(self) -> str:
        """The C type of a bytes object, whose length is part of it; empty for others."""
        if not isinstance(self.type, BytesType):
            return ""
        return f"struct {self.name}_t {{ struct kaa_object h; u64 n; u8 data[{len(self.obj) + 1}]; }};"


class Freezer:
    """All frozen objects of a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.objects: dict[Any, Frozen] = {}
        self.pending: list[Frozen] = []
        self.names: set[str] = set()
        self.keep: list[Any] = []  # objects whose id() is a key must stay alive
        self.arrays: dict[str, ArrayType] = {}

    # ---- run-time values ---------------------------------------------------------------------------------------------

    def value(self, obj: Any, expected: Type | None, symbol: str = "") -> Value | None:
        """The run-time value of a live object; None if it has none."""
        expected = strip(expected) if expected is not None else None
        wanted = nonnull(expected) if expected is not None else None
        if obj is None and isinstance(expected, OptionalType):
            return Const(expected, None)
        if isinstance(obj, enum.Enum):
            obj = obj.value
        if isinstance(obj, bool):
            return Const(BOOL, obj)
        if isinstance(obj, int):
            return Const(LitType(int(obj)), int(obj))
        t = self.type_of(obj, wanted)
        if t is None:
            return None
        if isinstance(t, FunctionType):
            return Symbol(t, f"(kaa_code *){self.thunk(obj, t)}")
        if isinstance(t, WeakType):
            refer: Any = obj
            target = self.value(refer(), t.inner)
            return Symbol(t, f"(struct kaa_object *){target.expr}") if isinstance(target, Symbol) else Const(t, None)
        if isinstance(t, TrampolineType):
            return Symbol(t, self.trampoline(obj))
        frozen = self.freeze(obj, t, symbol)
        if isinstance(t, (StructType, AtomicType)):
            return Symbol(t, f"(&{frozen.name})")
        if isinstance(t, ArrayType):
            return Symbol(t, f"({t.c})&{frozen.name}")
        return Symbol(t, f"({t.c})&{frozen.name}")

    def type_of(self, obj: Any, wanted: Type | None) -> Type | None:
        """The type a live object has in the image."""
        cls = cast("type[Any]", type(obj))
        if isinstance(obj, (bytes, bytearray)):
            return BYTES
        if isinstance(obj, str):
            return STR
        if isinstance(obj, lang.Trampoline):
            return TRAMPOLINE
        if isinstance(obj, (pytypes.FunctionType, staticmethod)):
            return wanted if isinstance(wanted, FunctionType) else self._function_type(obj)
        if isinstance(obj, (list, dict, collections.deque, tuple)):
            return wanted if isinstance(wanted, ClassType) else self._container_type(obj)
        if isinstance(obj, weakref.ref):
            return wanted if isinstance(wanted, WeakType) else None
        if isinstance(obj, lang.Array):
            return wanted if isinstance(wanted, ArrayType) else self._array_type(cls)
        if isinstance(obj, lang.Atomic):
            return wanted if isinstance(wanted, AtomicType) else None
        if isinstance(obj, type) or obj is None or isinstance(obj, pytypes.ModuleType):
            return None
        return self._instance_type(obj, wanted)

    def _array_type(self, cls: Any) -> Type | None:
        element = self.program.annotations.of_live(cls.__kaa_element__, {})
        return ArrayType(element, int(cls.__kaa_count__)) if element is not None else None

    def _container_type(self, obj: Any) -> Type | None:
        """The type of a list without annotation, if its elements agree."""
        if not isinstance(obj, (list, tuple)) or not obj:
            return None
        items: Iterable[Any] = cast(Any, obj)
        kinds = {self.type_of(e, None) if not isinstance(e, int) or isinstance(e, bool) else I64 for e in items}
        element = kinds.pop()
        if kinds or element is None:
            return None
        return self.program.class_info(self.program.container(list) or list, (element,)).type

    def _instance_type(self, obj: Any, wanted: Type | None) -> Type | None:
        cls = cast("type[Any]", type(obj))
        if not cls.__module__.startswith(("kaa", *self.program.roots)) or cls.__module__.startswith("kaa.compiler"):
            return None
        if isinstance(wanted, (ClassType, StructType)) and wanted.info.py is cls:
            return wanted
        parameters = getattr(cls, "__parameters__", ())
        if not parameters:
            return self.program.class_info(cls).type
        original = getattr(obj, "__orig_class__", None)
        if original is None:
            raise CompileError(
                f"the type arguments of {cls.__name__} are not known: write {cls.__name__}[…]() or annotate the name"
            )
        args = tuple(self.program.annotations.of_live(a, {}) or VoidType() for a in original.__args__)
        return self.program.class_info(cls, args).type

    def _function_type(self, obj: Any) -> FunctionType:
        fn = self.program.prototype(obj)
        params, result = fn.signature()
        return FunctionType(tuple(p.type for p in params), result)

    def thunk(self, obj: Any, t: FunctionType) -> str:
        """The C name of a function as a Callable of type `t`."""
        fn = self.program.function(unwrap(obj))
        params, result = fn.signature()
        if tuple(p.type for p in params) != t.params or (result != t.result and not str(result) == "NoReturn"):
            have = FunctionType(tuple(p.type for p in params), result)
            raise CompileError(f"{fn.name} is a {have}, not a {t}")
        name = f"kt_{fn.cname}"
        self.program.thunks[name] = fn
        return name

    def trampoline(self, obj: Any) -> str:
        """The C name of a function behind the uniform signature."""
        fn = self.program.function(unwrap(obj.fn))
        name = f"ks_{fn.cname}"
        self.program.trampolines[name] = fn
        return name

    # ---- freezing ----------------------------------------------------------------------------------------------------

    def freeze(self, obj: Any, t: Type, symbol: str = "") -> Frozen:
        """The frozen form of an object; its contents are written later, by `flush`."""
        key = (type(obj), obj) if isinstance(obj, (bytes, str)) else id(obj)
        if key not in self.objects:
            name = self._name(symbol or f"{mangle(t)[-40:]}_{len(self.objects)}")
            frozen = Frozen(name, self._declaration(t, name, obj), obj, t)
            self.objects[key] = frozen
            self.keep.append(obj)
            self.pending.append(frozen)
        return self.objects[key]

    def _name(self, wanted: str) -> str:
        name = "kz_" + wanted
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name

    def _declaration(self, t: Type, name: str, obj: Any) -> str:
        if isinstance(t, BytesType):
            return f"struct {name}_t {name}"
        if isinstance(t, StrType):
            return f"const struct kaa_text {name}"
        if isinstance(t, ClassType):
            return f"struct {t.info.cname} {name}{_place(t.info)}"
        return f"{stored_c(t)} {name}"

    def flush(self) -> bool:
        """Writes the initialisers of what was frozen since; True if there was anything."""
        any_done = bool(self.pending)
        while self.pending:
            frozen = self.pending.pop()
            frozen.initialiser = self._initialiser(frozen)
        return any_done

    def _initialiser(self, frozen: Frozen) -> str:
        obj, t = frozen.obj, frozen.type
        if isinstance(t, BytesType):
            return f"{{ {IMMORTAL % '&kc_bytes'}, {len(obj)}, {_c_bytes(bytes(obj))} }}"
        if isinstance(t, StrType):
            raw = obj.encode()
            piece = f"(const struct kaa_piece[]){{{{0, 0, 0, {len(raw)}, (u64){_c_bytes(raw)}}}}}"
            return f"{{ {piece}, 1 }}"
        if isinstance(t, ClassType):
            return self._object(obj, t.info)
        return self.stored(obj, t)

    def _object(self, obj: Any, info: ClassInfo) -> str:
        info.prepare()
        self.program.instantiate(info)
        values = self.fields_of(obj, info)
        parts = [f".h = {IMMORTAL % f'(struct kaa_class *)&kc_{info.cname}'}"]
        for f in info.fields.values():
            if f.name in values and values[f.name] is not None:
                parts.append(f".{f.cname} = {self.stored(values[f.name], f.type)}")
        return "{ " + ", ".join(parts) + " }"

    def fields_of(self, obj: Any, info: ClassInfo) -> dict[str, Any]:
        """The values of a live object's fields; containers say theirs themselves."""
        if isinstance(obj, (list, dict, collections.deque, tuple)):
            import importlib

            live = cast("Iterable[Any]", obj)
            return importlib.import_module(info.py.__module__).freeze(list(live) if isinstance(live, tuple) else live)
        return {
            f.name: getattr(obj, f.name) for f in info.fields.values() if getattr(obj, f.name, MISSING) is not MISSING
        }

    def stored(self, value: Any, t: Type) -> str:
        """A value as part of a static initialiser."""
        t = strip(t)
        if value is None:
            return "0"
        if isinstance(value, enum.Enum):
            value = value.value
        if isinstance(t, AtomicType):
            held: Any = value
            return self.stored(held.load() if isinstance(held, lang.Atomic) else held, t.element)
        if isinstance(t, BitsType):
            return self.stored(value, t.element)
        if is_int(t) or isinstance(t, BoolType):
            assert isinstance(t, (IntType, BoolType))
            return c_int(int(value), t)
        if isinstance(t, StructType):
            return self._struct(value, t)
        if isinstance(t, ArrayType):
            element = t.element
            if isinstance(element, IntType):
                items = [c_int(int(v), element) if isinstance(v, int) else self.stored(v, element) for v in value]
            else:
                items = [self.stored(v, element) for v in value]
            while items and items[-1] in ("0", "{ 0 }"):
                items.pop()
            return "{ { " + (", ".join(items) or "0") + " } }"
        if isinstance(t, PtrType):
            return self._pointer(value, t)
        if isinstance(t, SliceType):
            return "{ 0, 0 }"
        if isinstance(t, FunctionType) or (isinstance(t, OptionalType) and isinstance(t.inner, FunctionType)):
            inner = nonnull(t)
            assert isinstance(inner, FunctionType)
            return f"(kaa_code *){self.thunk(value, inner)}"
        found = self.value(value, t)
        if not isinstance(found, Symbol):
            raise CompileError(f"{value!r} cannot be frozen as {t}")
        # The place may be of a base class.
        return f"({t.c}){found.expr}" if isinstance(nonnull(t), ClassType) else found.expr

    def _struct(self, value: Any, t: StructType) -> str:
        t.info.prepare()
        parts: list[str] = []
        for f in t.info.fields.values():
            text = self.stored(getattr(value, f.name), f.type)
            if text not in ("0", "{ 0 }", "{ { 0 } }"):
                parts.append(f".{f.cname} = {text}")
        return "{ " + (", ".join(parts) or "0") + " }"

    def _pointer(self, value: Any, t: PtrType) -> str:
        if isinstance(value, list):
            if not value:
                return "0"
            row = cast("list[Any]", value)
            name = self._name(f"row_{len(self.objects)}")
            items = ", ".join(self.stored(v, t.element) for v in row)
            frozen = Frozen(name, f"{stored_c(t.element)} {name}[{len(row)}]", row, t, f"{{ {items} }}")
            self.objects[id(row)] = frozen
            self.keep.append(row)
            return f"({t.c}){name}"
        assert isinstance(value, unsafe.Ptr)
        return f"({t.c}){int(value.address)}ULL"

    @staticmethod
    def class_range(info: ClassInfo) -> str:
        """The C expression of a class's descriptor, for instance tests."""
        return f"(struct kaa_class *)&kc_{info.cname}"


def c_int(value: int, t: Type) -> str:
    """A C integer constant of the type."""
    if isinstance(t, BoolType):
        return str(int(value))
    assert isinstance(t, IntType)
    if t.bits < 64:
        return f"({t.c}){value}" if value >= 0 else f"({t.c})({value})"
    if not t.signed:
        return f"{value}ULL"
    return "(-9223372036854775807LL - 1)" if value == t.low else f"{value}LL" if value >= 0 else f"({value}LL)"


def _c_bytes(raw: bytes) -> str:
    out: list[str] = []
    for b in raw:
        out.append(chr(b) if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}")
    return '"' + "".join(out) + '"'


def _place(info: ClassInfo) -> str:
    """Where an object is put: what processors share, a lock above all, or have to themselves lies in as few cache lines
    as it can, and in none with what all of them read."""
    fields = info.fields.values()
    if not any(isinstance(field.type, AtomicType) or field.protection == "PerCpu" for field in fields):
        return ""
    return f' __attribute__((section(".data.busy"), aligned(sizeof(struct {info.cname}) > 32 ? 64 : 32)))'


__all__ = ["Freezer", "Frozen", "Function", "c_int", "ir"]
