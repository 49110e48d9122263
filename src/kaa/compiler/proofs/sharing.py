# SPDX-License-Identifier: Apache-2.0
"""What the fields say about sharing, and which classes several processors can reach.

A class is shared if an instance can be found by starting at an object of the image and following fields: counted
references, elements of containers, rows. What only ever lives in locals (a walk, a builder) is not. An instance of a
`@part` class, a struct, an array and the language's own containers are *parts*: what protects the field that holds
them protects what is in them.
"""

from __future__ import annotations

from dataclasses import dataclass

from kaa.compiler.classes import ClassInfo, Field
from kaa.compiler.ir import FieldPlace
from kaa.compiler.program import Program
from kaa.compiler.proofs.locks import LockTable, kind_of
from kaa.compiler.types import (
    ArrayType,
    AtomicType,
    ClassType,
    FunctionType,
    PtrType,
    SliceType,
    StructType,
    TrampolineType,
    Type,
    WeakType,
    nonnull,
    strip,
)

PART_PROTECTION = "Part"
BUILTIN = "kaa.lang.builtins."


@dataclass(frozen=True)
class Lock:
    """What a `Guarded` field names: fields from the object on (`steps`; none: the object itself), a lock of the image
    (`names` holds its symbols), or a class of locks, whichever instance (`mask`)."""

    steps: tuple[FieldPlace, ...] | None = None
    names: frozenset[str] = frozenset()
    mask: int = 0


OWNER_TERM = "current()"
"""What a `Guarded` field may name beside locks: that its object is reached through current()."""


@dataclass(frozen=True)
class Guards:
    """What a `Guarded` field asks for: "a & b" (`all_to_write`) means all of it to write and any of it to read, "a | b"
    any of it. Terms are (text, lock), OWNER_TERM's lock is None."""

    terms: tuple[tuple[str, Lock | None], ...]
    all_to_write: bool


def is_part_class(info: ClassInfo) -> bool:
    """Is an instance part of what holds it?"""
    if info.py.__module__.startswith(BUILTIN):
        return True
    return any(one.py.__dict__.get("__kaa_sharing__", ("",))[0] == PART_PROTECTION for one in info.mro())


def is_part(t: Type) -> bool:
    """Does a field of this type hold its value within itself, so that using the value is using the field?"""
    t = nonnull(strip(t))
    if isinstance(t, ClassType):
        return is_part_class(t.info)
    return isinstance(t, (StructType, ArrayType))


def carries(t: Type) -> bool:
    """Is a value of this type a way into the place that it was got from?"""
    t = nonnull(strip(t))
    return is_part(t) or isinstance(t, (PtrType, SliceType))


def needs_no_statement(t: Type) -> bool:
    """Values that say it themselves."""
    t = nonnull(strip(t))
    if isinstance(t, ArrayType):
        return needs_no_statement(t.element)
    if isinstance(t, StructType):
        return all(needs_no_statement(f.type) for f in t.info.fields.values())
    return isinstance(t, (AtomicType, FunctionType, TrampolineType)) and not isinstance(t, FunctionType)


class Sharing:
    """The statements of one program's fields."""

    def __init__(self, program: Program, table: LockTable) -> None:
        self.program = program
        self.table = table
        self.shared = self._reachable()
        self._guards: dict[tuple[str, str], Guards | None] = {}
        self._symbols = {id(one.obj): one.name for one in program.freezer.objects.values()}

    # ---- who is shared -----------------------------------------------------------------------------------------------

    def _reachable(self) -> set[ClassInfo]:
        """The classes of what can be reached from the image."""
        classes = [c for c in self.program.classes.values() if not c.is_struct]
        out: set[ClassInfo] = set()
        work: list[Type] = [one.type for one in self.program.freezer.objects.values()]
        seen: set[Type] = set()
        while work:
            t = nonnull(strip(work.pop()))
            if t in seen:
                continue
            seen.add(t)
            if isinstance(t, (ArrayType, SliceType, PtrType, AtomicType)):
                work.append(t.element)
            elif isinstance(t, WeakType):
                work.append(t.inner)
            elif isinstance(t, StructType):
                work += [f.type for f in t.info.fields.values()]
            elif isinstance(t, ClassType):
                for info in classes:
                    if info.is_subclass(t.info) and info not in out:
                        out.add(info)
                        work += [f.type for f in info.fields.values()]
        return out

    def is_shared(self, info: ClassInfo) -> bool:
        """Can several processors reach an instance?"""
        return info in self.shared

    # ---- locks -------------------------------------------------------------------------------------------------------

    def guards_of(self, owner: ClassInfo, field: Field) -> Guards | None:
        """What a field's statement names; None if there is no such lock."""
        key = (field.declared_in, field.lock)
        if key not in self._guards:
            self._guards[key] = self._guards_of(owner, field.lock)
        return self._guards[key]

    def _guards_of(self, owner: ClassInfo, said: str) -> Guards | None:
        names = [name.strip() for name in said.replace("|", "&").split("&")]
        terms = [(name, None if name == OWNER_TERM else self._resolve(owner, name)) for name in names]
        if any(lock is None and name != OWNER_TERM for name, lock in terms) or ("&" in said and "|" in said):
            return None
        return Guards(tuple(terms), "|" not in said)

    def _resolve(self, owner: ClassInfo, name: str) -> Lock | None:
        parts = name.split(".")
        if name == "self":
            return Lock(steps=())
        if parts[0] in owner.fields:
            steps: list[FieldPlace] = []
            info: ClassInfo | None = owner
            for part in parts:
                field = info.fields.get(part) if info is not None else None
                if info is None or field is None:
                    return None
                steps.append(FieldPlace(None, info, field))  # type: ignore[arg-type]
                t = nonnull(strip(field.type))
                info = t.info if isinstance(t, (ClassType, StructType)) else None
            return Lock(steps=tuple(steps)) if info is not None and kind_of(info) else None
        symbols = self._of_module(*parts) if len(parts) == 2 else frozenset[str]()
        if symbols:
            return Lock(names=symbols)
        mask = self.table.mask_of(name) | self.table.mask_of_instances(name)
        return Lock(mask=mask) if mask else None

    def _of_module(self, module: str, name: str) -> frozenset[str]:
        """The symbols of the locks that are called so in a module called so."""
        out: set[str] = set()
        for one in self.program.sources.modules():
            if one.name.rpartition(".")[2] == module:
                live: object = one.live.__dict__.get(name)
                if hasattr(type(live), "__kaa_lock__"):
                    out.add(self._symbols.get(id(live), f"{module}.{name}"))  # the latter: nobody takes it
        return frozenset(out)


__all__ = [
    "OWNER_TERM", "Guards", "Lock", "Sharing", "carries", "is_part", "is_part_class", "needs_no_statement",
]  # fmt: skip
