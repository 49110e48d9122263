# SPDX-License-Identifier: Apache-2.0
"""What a value can be. Types are compared with `==`; all are immutable but `IntVar`, which stands for a local
integer whose width the function has not said yet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from kaa.compiler.classes import ClassInfo


class Type:
    """Base of all types. `c` is the C spelling of a variable of this type; `name` what messages call it; `counted` is
    true for values that hold a reference count."""

    name = "?"
    c = "void"
    counted: ClassVar[bool] = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class IntType(Type):
    """A machine integer of 8, 16, 32 or 64 bits."""

    bits: int
    signed: bool

    @cached_property
    def name(self) -> str:  # type: ignore[override]
        return f"{'i' if self.signed else 'u'}{self.bits}"

    @cached_property
    def c(self) -> str:  # type: ignore[override]
        return self.name

    @cached_property
    def low(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @cached_property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    def holds(self, other: IntType) -> bool:
        """True if every value of `other` is a value of this type."""
        return self.low <= other.low and other.high <= self.high

    def __str__(self) -> str:
        return self.name


class IntVar(Type):
    """An integer local without a width yet; `bound` once something has decided it."""

    made: ClassVar[int] = 0  # how many there are: a function that made none has no constant that took its width late

    def __init__(self) -> None:
        self.bound: Type | None = None
        IntVar.made += 1

    def resolve(self) -> Type:
        t: Type = self
        while isinstance(t, IntVar):
            if t.bound is None:
                return t
            t = t.bound
        return t

    @property
    def name(self) -> str:  # type: ignore[override]
        t = self.resolve()
        return "int" if isinstance(t, IntVar) else t.name

    @property
    def c(self) -> str:  # type: ignore[override]
        t = self.resolve()
        return "i64" if isinstance(t, IntVar) else t.c


@dataclass(frozen=True)
class LitType(Type):
    """A constant integer that has no width yet."""

    value: int
    name = "int"
    c = "i64"

    def __str__(self) -> str:
        return "int"


@cache
def lit_type(value: int) -> LitType:
    """The type of a constant, made once."""
    return LitType(value)


@dataclass(frozen=True)
class BoolType(Type):
    name = "bool"
    c = "bool"

    def __str__(self) -> str:
        return "bool"


@dataclass(frozen=True)
class VoidType(Type):
    """The result of a function that returns nothing."""

    name = "None"
    c = "void"

    def __str__(self) -> str:
        return "None"


@dataclass(frozen=True)
class NeverType(Type):
    """The result of a function that does not return."""

    name = "NoReturn"
    c = "void"

    def __str__(self) -> str:
        return "NoReturn"


@dataclass(frozen=True)
class NoneType(Type):
    """The type of the constant None, before it meets a nullable type."""

    name = "None"
    c = "void *"

    def __str__(self) -> str:
        return "None"


@dataclass(frozen=True)
class StrType(Type):
    """str: a descriptor of pieces, valid during a call."""

    name = "str"
    c = "const struct kaa_text *"

    def __str__(self) -> str:
        return "str"


@dataclass(frozen=True)
class BytesType(Type):
    """bytes: immutable, counted."""

    name = "bytes"
    c = "struct kaa_bytes *"
    counted = True

    def __str__(self) -> str:
        return "bytes"


@dataclass(frozen=True)
class ClassType(Type):
    """A counted reference to an instance of a class."""

    info: ClassInfo
    counted = True

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.info.name

    @cached_property
    def c(self) -> str:  # type: ignore[override]
        return f"struct {self.info.cname} *"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class OptionalType(Type):
    """A reference (or function) that may be None."""

    inner: Type

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.inner.name} | None"

    @cached_property
    def counted(self) -> bool:  # type: ignore[override]
        return self.inner.counted

    @cached_property
    def c(self) -> str:  # type: ignore[override]
        return self.inner.c

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class WeakType(Type):
    """weakref.ref[X]."""

    inner: Type
    counted = True

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"weakref.ref[{self.inner.name}]"

    @property
    def c(self) -> str:  # type: ignore[override]
        return "struct kaa_object *"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class StructType(Type):
    """A place that holds a @struct value; in C a variable of this type is its address."""

    info: ClassInfo

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.info.name

    @cached_property
    def c(self) -> str:  # type: ignore[override]
        return f"struct {self.info.cname} *"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class ArrayType(Type):
    """The place of N elements in a row; in C a variable of this type is the address of the first."""

    element: Type
    length: int

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"Array[{self.element.name}, {self.length}]"

    @property
    def c(self) -> str:  # type: ignore[override]
        return f"{stored_c(self.element)} *"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class AtomicType(Type):
    """The place of an Atomic[T]."""

    element: Type

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"Atomic[{self.element.name}]"

    @property
    def c(self) -> str:  # type: ignore[override]
        return f"{self.element.c} *"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class SliceType(Type):
    """A view: pointer and length. Bytes is the read-only view of u8."""

    element: Type
    readonly: bool = False

    @property
    def name(self) -> str:  # type: ignore[override]
        return "Bytes" if self.readonly else f"Slice[{self.element.name}]"

    c = "kaa_slice"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class PtrType(Type):
    """unsafe.Ptr[T]."""

    element: Type

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"Ptr[{self.element.name}]"

    @cached_property
    def c(self) -> str:  # type: ignore[override]
        return f"{stored_c(self.element)} *"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class TupleType(Type):
    """Several values; never a C variable of its own: its parts are."""

    parts: tuple[Type, ...]

    @property
    def name(self) -> str:  # type: ignore[override]
        return "tuple[" + ", ".join(p.name for p in self.parts) + "]"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class FunctionType(Type):
    """Callable[[...], R]: a plain function's address."""

    params: tuple[Type, ...]
    result: Type

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"Callable[[{', '.join(p.name for p in self.params)}], {self.result.name}]"

    c = "kaa_code *"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class TrampolineType(Type):
    """A function behind the uniform signature i64 (u64 × 6)."""

    name = "Trampoline"
    c = "kaa_trampoline"

    def __str__(self) -> str:
        return "Trampoline"


@dataclass(frozen=True)
class IteratorType(Type):
    """Iterator[T]: what a generator is, as a parameter of an @inline function."""

    element: Type

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"Iterator[{self.element.name}]"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class TypeVarType(Type):
    """A type variable that is not bound yet (only in the signature of a generic function)."""

    variable: object

    @property
    def name(self) -> str:  # type: ignore[override]
        return str(self.variable).lstrip("~")

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class BitsType(Type):
    """A bit field of a struct."""

    element: IntType
    width: int

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"Bits[{self.element.name}, {self.width}]"

    @property
    def c(self) -> str:  # type: ignore[override]
        return self.element.c

    def __str__(self) -> str:
        return self.name


BOOL, VOID, NEVER, NONE, STR, BYTES = BoolType(), VoidType(), NeverType(), NoneType(), StrType(), BytesType()
U8, U16, U32, U64 = (IntType(b, False) for b in (8, 16, 32, 64))
I8, I16, I32, I64 = (IntType(b, True) for b in (8, 16, 32, 64))
VIEW = SliceType(U8, True)
TRAMPOLINE = TrampolineType()


def strip(t: Type) -> Type:
    """The type itself: a bound IntVar is what it is bound to."""
    return t.resolve() if isinstance(t, IntVar) else t


def is_int(t: Type) -> bool:
    if isinstance(t, IntVar):
        t = t.resolve()
    return isinstance(t, (IntType, LitType, IntVar))


def nonnull(t: Type) -> Type:
    return t.inner if isinstance(t, OptionalType) else t


def is_counted(t: Type) -> bool:
    """True for values that hold a reference count."""
    return t.counted


def is_place(t: Type) -> bool:
    """True where a C variable of the type is the address of the value."""
    return isinstance(t, (StructType, ArrayType, AtomicType))


def generic(t: Type) -> bool:
    """True if the type mentions an unbound type variable."""
    if isinstance(t, TypeVarType):
        return True
    if isinstance(t, (OptionalType, WeakType)):
        return generic(t.inner)
    if isinstance(t, (PtrType, SliceType, ArrayType, AtomicType)):
        return generic(t.element)
    if isinstance(t, (ClassType, StructType)):
        return any(map(generic, t.info.args))
    if isinstance(t, FunctionType):
        return any(map(generic, (*t.params, t.result)))
    return isinstance(t, TupleType) and any(map(generic, t.parts))


def stored_c(t: Type) -> str:
    """The C spelling of the type where a value is stored (a field, an element)."""
    t = strip(t)
    if isinstance(t, StructType):
        return f"struct {t.info.cname}"
    if isinstance(t, AtomicType):
        return t.element.c
    if isinstance(t, ArrayType):
        return f"struct {mangle(t)}"
    return t.c


def mangle(t: Type) -> str:
    """The type as part of a C name."""
    t = strip(t)
    if isinstance(t, (IntType, BoolType, BytesType, StrType, VoidType)):
        return t.name
    if isinstance(t, (ClassType, StructType)):
        return t.info.cname
    if isinstance(t, OptionalType):
        return mangle(t.inner) + "_opt"
    if isinstance(t, ArrayType):
        return f"array_{mangle(t.element)}_{t.length}"
    if isinstance(t, (PtrType, WeakType, AtomicType)):
        return f"{type(t).__name__[:-4].lower()}_{mangle(t.inner if isinstance(t, WeakType) else t.element)}"
    if isinstance(t, SliceType):
        return "view" if t.readonly else f"slice_{mangle(t.element)}"
    if isinstance(t, TupleType):
        return "tuple_" + "_".join(map(mangle, t.parts))
    if isinstance(t, FunctionType):
        return "fn_" + "_".join(map(mangle, (*t.params, t.result)))
    return type(t).__name__.lower()


def join(a: Type, b: Type) -> Type | None:
    """The narrowest type that holds both, or None."""
    a, b = strip(a), strip(b)
    if a == b:
        return a
    if isinstance(a, NeverType):
        return b
    if isinstance(b, NeverType):
        return a
    if is_int(a) and is_int(b):
        return _join_ints(a, b)
    if isinstance(a, NoneType):
        return b if isinstance(b, OptionalType) else OptionalType(b) if can_be_none(b) else None
    if isinstance(b, NoneType):
        return join(b, a)
    if isinstance(a, OptionalType) or isinstance(b, OptionalType):
        inner = join(nonnull(a), nonnull(b))
        return OptionalType(inner) if inner is not None else None
    if isinstance(a, ClassType) and isinstance(b, ClassType):
        common = a.info.common_base(b.info)
        return ClassType(common) if common is not None else None
    if isinstance(a, TupleType) and isinstance(b, TupleType) and len(a.parts) == len(b.parts):
        parts = [join(x, y) for x, y in zip(a.parts, b.parts, strict=True)]
        return TupleType(tuple(p for p in parts if p is not None)) if all(parts) else None
    views = (SliceType, BytesType)
    if isinstance(a, views) and isinstance(b, views) and _is_bytes(a) and _is_bytes(b):
        return VIEW
    return None


def _is_bytes(t: Type) -> bool:
    return isinstance(t, BytesType) or (isinstance(t, SliceType) and t.element == U8)


def can_be_none(t: Type) -> bool:
    return isinstance(t, (ClassType, BytesType, FunctionType, WeakType))


def _join_ints(a: Type, b: Type) -> Type | None:
    if isinstance(a, LitType):
        return b
    if isinstance(b, LitType):
        return a
    if isinstance(a, IntVar):
        return b
    if isinstance(b, IntVar):
        return a
    assert isinstance(a, IntType) and isinstance(b, IntType)
    if a.holds(b):
        return a
    return b if b.holds(a) else None
