# SPDX-License-Identifier: Apache-2.0
"""Classes and structs in use: their fields with types and protection, their place in the hierarchy, their layout."""

from __future__ import annotations

import ast
import dataclasses
import functools
import types as pytypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kaa.compiler.errors import CompileError
from kaa.compiler.source import unwrap
from kaa.compiler.types import (
    ArrayType,
    AtomicType,
    BitsType,
    BoolType,
    BytesType,
    ClassType,
    FunctionType,
    IntType,
    OptionalType,
    PtrType,
    SliceType,
    StructType,
    TrampolineType,
    Type,
    is_counted,
    mangle,
    nonnull,
    strip,
)
from kaa.lang import LateEnd, RcuHead

if TYPE_CHECKING:
    from kaa.compiler.annotations import FieldType
    from kaa.compiler.program import Program

MISSING = object()


@dataclass(frozen=True)
class Field:
    """One declared field. `protection` is what its annotation says about sharing: Final, Guarded, Rcu, PerCpu, Owned or
    ""."""

    name: str
    type: Type
    declared_in: str
    protection: str = ""
    lock: str = ""
    unowned: bool = False
    default: Any = MISSING
    relaxed: bool = False
    """One word, read by anybody: what is said of it is about writing."""
    once: bool = False
    """None until it is set, and then for good: read by anybody."""

    @property
    def cname(self) -> str:
        return f"f_{self.name}"


class ClassInfo:
    """A compiled class (or struct) with its type arguments."""

    def __init__(self, program: Program, py: type, args: tuple[Type, ...]) -> None:
        self.program = program
        self.py = py
        self.args = args
        self.ends_late = issubclass(py, LateEnd)
        """Its end is put off where nobody may sleep."""
        self.is_struct = "__kaa_struct__" in py.__dict__
        self.packed = bool(py.__dict__.get("__kaa_struct__", {}).get("packed"))
        shown = ", ".join(a.name for a in args)
        self.name = py.__qualname__ + (f"[{shown}]" if args else "")
        plain = f"{py.__module__}__{py.__qualname__}".replace(".", "_")
        self.cname = plain + ("__" + "__".join(map(mangle, args)) if args else "")
        variables = getattr(py, "__parameters__", ())
        if any(isinstance(a, SliceType) for a in args) and not self.is_struct:
            shown = next(a for a in args if isinstance(a, SliceType))
            raise CompileError(
                f"{self.name} would keep views ({shown}) beyond their owners' lives; keep the owners, or bytes"
            )
        if py.__module__.startswith("kaa.lang.builtins.") and any(
            isinstance(a, (StructType, ArrayType, AtomicType)) for a in args
        ):
            raise CompileError(
                f"{self.name} would hold places, which move when it grows; hold numbers or objects, or use an Array"
            )
        self.typevars: dict[object, Type] = dict(zip(variables, args, strict=True)) if args else {}
        self.base: ClassInfo | None = None
        self.instantiated = False
        self.number = -1
        self.last_number = -1
        self.fields: dict[str, Field] = {}
        self._ready = False
        self._based = False  # base is found
        self._mro: list[ClassInfo] = []  # once it is known

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @functools.cached_property
    def type(self) -> Type:
        """What a variable that holds (or is the place of) an instance is."""
        return StructType(self) if self.is_struct else ClassType(self)

    def prepare(self) -> None:
        """Resolves base and fields (not in the constructor: fields may mention the class itself)."""
        if self._ready:
            return
        self._ready = True
        for base in getattr(self.py, "__orig_bases__", self.py.__bases__):
            info = self.program.base_class(base, self.typevars)
            if info is not None:
                if self.base is not None:
                    raise CompileError(
                        f"class {self.name} has two bases; single inheritance only", self._file(), line=self._line()
                    )
                self.base = info
        self._based = True
        if self.base is not None:
            self.base.prepare()
            self.fields.update(self.base.fields)
            self.typevars = {**self.base.typevars, **self.typevars}
        module = self.program.sources.module(self.py.__module__)
        node = module.classes.get(self.py.__qualname__)
        if node is None:
            raise CompileError(f"class {self.name} is not defined in a file", module.filename)
        for stmt in node.body:
            if self.is_struct and isinstance(stmt, ast.FunctionDef) and stmt.name == "__init__":
                raise CompileError("a struct has no __init__: its constructor takes the fields", module.filename, stmt)
            if isinstance(stmt, ast.AnnAssign) and isinstance(stmt.target, ast.Name):
                self._add_field(stmt, module)

    def _add_field(self, stmt: ast.AnnAssign, module: Any) -> None:
        assert isinstance(stmt.target, ast.Name)
        name = stmt.target.id
        if self.program.annotations.is_classvar(stmt.annotation, module):
            return
        declared = self.program.annotations.field(stmt.annotation, module, self.typevars)
        default = self._default(name)
        protection, lock = declared.protection, declared.lock
        if protection in ("", "Unowned") and not isinstance(declared.type, AtomicType):
            protection, lock = self.py.__dict__.get("__kaa_sharing__", (protection, lock))
        f = Field(name, declared.type, self.cname, protection, lock, declared.unowned, default, declared.relaxed,
                  declared.once)  # fmt: skip
        self._check_word(declared, stmt, module)
        if self.is_struct and is_counted(declared.type):
            raise CompileError(
                f"a struct cannot hold {declared.type}: structs are plain values, references belong in classes",
                module.filename,
                stmt.annotation,
            )
        if (
            not self.is_struct
            and isinstance(declared.type, SliceType)
            and not self.py.__module__.startswith("kaa.lang")
        ):
            raise CompileError(
                f"field {name} would keep a view ({declared.type}) beyond its owner's life; "
                "keep the owner, or bytes(...)",
                module.filename,
                stmt.annotation,
            )
        if declared.protection == "Rcu":
            held = strip(declared.type)
            pointee = nonnull(held.element if isinstance(held, ArrayType) else held)
            if not isinstance(pointee, ClassType) or not issubclass(pointee.info.py, RcuHead):
                raise CompileError(
                    f"an Rcu field refers to objects that can be retired: {pointee} does not derive from RcuHead",
                    module.filename,
                    stmt.annotation,
                )
        if name in self.fields and self.fields[name].type != declared.type:
            raise CompileError(
                f"field {name} is {self.fields[name].type} in the base class and {declared.type} here",
                module.filename,
                stmt.annotation,
            )
        if name not in self.fields:
            self.fields[name] = f
        elif default is not MISSING:
            self.fields[name] = dataclasses.replace(self.fields[name], default=default)

    def _check_word(self, declared: FieldType, stmt: ast.AnnAssign, module: Any) -> None:
        """Relaxed and Once are for objects' words of some types."""
        t = strip(declared.type)
        word = isinstance(t, (IntType, BoolType)) or declared.unowned
        if declared.relaxed and (self.is_struct or not word):
            message = "a Relaxed field is an object's number, bool or enum, or Unowned"
            raise CompileError(message, module.filename, stmt.annotation)
        reference = isinstance(t, OptionalType) and isinstance(nonnull(t), (ClassType, BytesType))
        if declared.once and (self.is_struct or declared.unowned or not reference):
            raise CompileError("a Once field is an object's reference or None", module.filename, stmt.annotation)

    def _default(self, name: str) -> Any:
        py: type[Any] = self.py
        if dataclasses.is_dataclass(py):
            for f in dataclasses.fields(py):
                if f.name == name:
                    if f.default is not dataclasses.MISSING:
                        return f.default
                    if f.default_factory is not dataclasses.MISSING:
                        return f.default_factory()
        own = vars(self.py)
        defaults: dict[str, Any] = own.get("__kaa_defaults__", {})
        if name in defaults:
            return defaults[name]
        value: Any = own.get(name, MISSING)
        kind = cast("type[Any]", type(value))
        if isinstance(value, (pytypes.MemberDescriptorType, property)) or hasattr(kind, "__get__"):
            return MISSING
        return value

    def _file(self) -> str:
        return self.program.sources.module(self.py.__module__).filename

    def _line(self) -> int:
        node = self.program.sources.module(self.py.__module__).classes.get(self.py.__qualname__)
        return node.lineno if node else 0

    def field_place(self, name: str) -> tuple[str, int]:
        """File and line of the declaration of one of the class's own fields."""
        module = self.program.sources.module(self.py.__module__)
        node = module.classes.get(self.py.__qualname__)
        for stmt in node.body if node is not None else ():
            if isinstance(stmt, ast.AnnAssign) and isinstance(stmt.target, ast.Name) and stmt.target.id == name:
                return module.filename, stmt.lineno
        return module.filename, self._line()

    # ---- hierarchy -------------------------------------------------------------------------------------------------

    def mro(self) -> list[ClassInfo]:
        """This class, its base, and so on."""
        if self._mro:
            return self._mro
        self.prepare()
        out = [self, *(self.base.mro() if self.base is not None else ())]
        if self._based:
            self._mro = out
        return out

    def is_subclass(self, other: ClassInfo) -> bool:
        return other in self.mro()

    def common_base(self, other: ClassInfo) -> ClassInfo | None:
        theirs = other.mro()
        return next((info for info in self.mro() if info in theirs), None)

    def root(self) -> ClassInfo:
        return self.mro()[-1]

    def find(self, name: str) -> tuple[Any, ClassInfo] | None:
        """The class attribute `name` as written in the class body, and the class that has it."""
        for info in self.mro():
            if name in info.py.__dict__:
                return info.py.__dict__[name], info
        return None

    def has_hand_written_init(self) -> bool:
        """True if construction runs code of the program (not only what @dataclass wrote)."""
        found = self.find("__init__")
        code = getattr(found[0], "__code__", None) if found is not None else None
        return code is not None and not code.co_filename.startswith("<")

    def overridden_below(self, name: str) -> bool:
        """True if some imported subclass overrides method `name`."""
        return any(
            name in sub.__dict__ and isinstance(unwrap(sub.__dict__[name]), pytypes.FunctionType)
            for sub in self._below
        )

    @functools.cached_property
    def _below(self) -> list[type]:
        """All imported subclasses, those of subclasses too."""
        found = list(self.py.__subclasses__())
        for sub in found:
            found += sub.__subclasses__()
        return found

    def has_subclasses(self) -> bool:
        return bool(self.py.__subclasses__())

    # ---- layout of structs (System V: natural alignment) -------------------------------------------------------------

    def size_align(self) -> tuple[int, int]:
        """Size and alignment of a struct in bytes."""
        size, align, _ = self._layout
        return size, align

    def offset_of(self, name: str) -> int:
        """Where a field of a struct begins, in bytes."""
        _, _, offsets = self._layout
        return offsets[name]

    @functools.cached_property
    def _layout(self) -> tuple[int, int, dict[str, int]]:
        """Size, alignment, and where each field begins (of bits: the unit that they are in)."""
        self.prepare()
        offsets: dict[str, int] = {}
        offset, biggest, bit, unit = 0, 1, 0, 0
        for name, f in self.fields.items():
            if isinstance(f.type, BitsType):
                size = f.type.element.bits // 8
                if unit != size or bit + f.type.width > size * 8:
                    offset = offset if self.packed else _round_up(offset, size)
                    offset, bit, unit = offset + size, 0, size
                bit += f.type.width
                biggest = max(biggest, size)
                offsets[name] = offset - size
                continue
            bit = unit = 0
            size, align = size_align(f.type)
            align = 1 if self.packed else align
            offsets[name] = _round_up(offset, align)
            offset = offsets[name] + size
            biggest = max(biggest, align)
        biggest = 1 if self.packed else biggest
        return _round_up(offset, biggest), biggest, offsets


def _round_up(n: int, to: int) -> int:
    return (n + to - 1) // to * to


def size_align(t: Type) -> tuple[int, int]:
    """Size and alignment, in bytes, of a stored value of type `t`."""
    t = strip(t)
    if isinstance(t, IntType):
        return t.bits // 8, t.bits // 8
    if isinstance(t, BoolType):
        return 1, 1
    if isinstance(t, StructType):
        return t.info.size_align()
    if isinstance(t, ArrayType):
        size, align = size_align(t.element)
        return size * t.length, align
    if isinstance(t, AtomicType):
        return size_align(t.element)
    if isinstance(t, SliceType):
        return 16, 8
    if isinstance(t, (PtrType, FunctionType, TrampolineType)) or is_counted(t):
        return 8, 8
    raise CompileError(f"{t} has no size")
