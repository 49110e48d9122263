# SPDX-License-Identifier: Apache-2.0
"""@struct: values with C layout, under CPython.

An instance is a *place*: a storage and an offset. Its fields are descriptors that load and store there, so a struct
inside an array, inside another struct or behind a pointer is written through. The layout is worked out at first use,
when the types that the annotations name all exist.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, dataclass_transform, get_origin, overload

from kaa.lang.annotations import Qualified, evaluate
from kaa.lang.codecs import Codec, IntegerCodec, PlaceCodec, codec_of
from kaa.lang.integers import u8
from kaa.lang.memory import Buffer, Storage
from kaa.lang.memory import copy as copy_storage
from kaa.lang.sequences import Slice

S = TypeVar("S")

_MISSING = object()
ZERO: Any = object()
"""The default of a struct field that has none: all its bytes zero. Tells type checkers so, where there is no literal
for zero: `words: Array[u64, 4] = ZERO`."""


@dataclass(frozen=True)
class FieldLayout:
    """Where one field lies. `bits` and `shift` are for bit fields, in units of their storage integer."""

    name: str
    codec: Codec
    offset: int
    bits: int = 0
    shift: int = 0


@dataclass(frozen=True)
class Layout:
    """Size, alignment and fields of a struct."""

    size: int
    align: int
    fields: dict[str, FieldLayout]


def offset_of(cls: Any, name: str) -> int:
    """Where a field of a struct begins, in bytes: for assembly and for formats."""
    return _field(cls, name).offset


def _field(owner: Any, name: str) -> FieldLayout:
    return owner.__kaa_layout__().fields[name]


class _Field:
    """Descriptor of one struct field."""

    def __init__(self, name: str, default: object) -> None:
        self.name, self.default = name, default

    def __get__(self, place: Any, owner: type) -> Any:
        if place is None:
            return self
        field = _field(owner, self.name)
        value = field.codec.load(place._storage, place._offset + field.offset)
        return (value >> field.shift) & ((1 << field.bits) - 1) if field.bits else value

    def __set__(self, place: Any, value: Any) -> None:
        field = _field(type(place), self.name)
        at = place._offset + field.offset
        if field.bits:
            mask = (1 << field.bits) - 1
            if not 0 <= value <= mask:
                raise OverflowError(f"{value} does not fit {field.bits} bits")
            value = (field.codec.load(place._storage, at) & ~(mask << field.shift)) | (value << field.shift)
        field.codec.store(place._storage, at, value)


class _Builder:
    """Lays fields out one after another, as C does."""

    def __init__(self, packed: bool) -> None:
        self.packed, self.end, self.align = packed, 0, 1
        self.fields: dict[str, FieldLayout] = {}
        self.bit_unit: tuple[int, int, IntegerCodec] | None = None  # (offset, bits used, storage integer)

    def add(self, name: str, annotation: object) -> None:
        if isinstance(annotation, Qualified) and annotation.kind == "Bits":
            self._add_bits(name, cast("IntegerCodec", codec_of(annotation.inner)), cast("int", annotation.argument))
            return
        self.bit_unit = None
        codec = codec_of(annotation)
        self.fields[name] = FieldLayout(name, codec, self._reserve(codec))

    def _reserve(self, codec: Codec) -> int:
        align = 1 if self.packed else codec.align
        offset = -(-self.end // align) * align
        self.end, self.align = offset + codec.size, max(self.align, align)
        return offset

    def _add_bits(self, name: str, codec: IntegerCodec, bits: int) -> None:
        unit = self.bit_unit
        if unit is None or unit[2].size != codec.size or unit[1] + bits > codec.size * 8:
            unit = (self._reserve(codec), 0, IntegerCodec(codec.size * 8, signed=False))
        self.fields[name] = FieldLayout(name, unit[2], unit[0], bits, unit[1])
        self.bit_unit = (unit[0], unit[1] + bits, unit[2])

    def layout(self) -> Layout:
        return Layout(-(-self.end // self.align) * self.align, self.align, self.fields)


class StructMethods:
    """What every @struct class is given."""

    __kaa_struct__: ClassVar[dict[str, Any]]
    __kaa_defaults__: ClassVar[dict[str, object]]
    _storage: Storage
    _offset: int

    def __init__(self, *values: object, **named: object) -> None:
        cls = type(self)
        layout = cls.__kaa_layout__()
        self._storage, self._offset = Buffer(bytearray(layout.size)), 0
        given = dict(zip(layout.fields, values, strict=False))
        if len(values) > len(layout.fields) or given.keys() & named.keys() or named.keys() - layout.fields.keys():
            raise TypeError(f"{cls.__name__}() got fields it does not have, or one twice")
        for name, value in {**cls.__kaa_defaults__, **given, **named}.items():
            setattr(self, name, value)

    @classmethod
    def at_place(cls, storage: Storage, offset: int) -> Any:
        """The struct at a place (no copy)."""
        place = object.__new__(cls)
        place._storage, place._offset = storage, offset
        return place

    @classmethod
    def __kaa_layout__(cls) -> Layout:
        """The layout, worked out once."""
        found = cls.__dict__.get("_kaa_layout")
        if found is None:
            builder = _Builder(cls.__kaa_struct__["packed"])
            namespace = vars(sys.modules[cls.__module__])
            for name in cls.__kaa_struct__["fields"]:
                builder.add(name, evaluate(cls.__annotations__[name], namespace))
            found = builder.layout()
            cls._kaa_layout = found  # type: ignore[attr-defined]
        return found

    @classmethod
    def __kaa_codec__(cls) -> Codec:
        layout = cls.__kaa_layout__()
        return PlaceCodec(cls, layout.size, layout.align)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__kaa_layout__().fields)
        return f"{type(self).__name__}({fields})"


def _make_struct(cls: Any, packed: bool) -> Any:
    names = [n for n, a in cls.__dict__.get("__annotations__", {}).items() if not str(a).startswith("ClassVar")]
    defaults = {name: cls.__dict__[name] for name in names if cls.__dict__.get(name, ZERO) is not ZERO}
    cls.__kaa_struct__ = {"packed": packed, "fields": names}
    cls.__kaa_defaults__ = defaults
    for name in ("__init__", "at_place", "__kaa_layout__", "__kaa_codec__", "__repr__"):
        if name not in cls.__dict__:
            setattr(cls, name, StructMethods.__dict__[name])
    for name in names:
        setattr(cls, name, _Field(name, defaults.get(name, _MISSING)))
    return cls


@overload
def struct(cls: type[S], /) -> type[S]: ...
@overload
def struct(*, packed: bool = False) -> Callable[[type[S]], type[S]]: ...
@dataclass_transform(kw_only_default=False)
def struct(cls: Any = None, /, *, packed: bool = False) -> Any:
    """A value with C layout. The constructor takes fields in order or by keyword; missing ones are their default, or
    zero.
    """
    if cls is None:
        return partial(_make_struct, packed=packed)
    return _make_struct(cls, packed)


def copy(place: S) -> S:
    """A fresh struct (or array) with the same contents."""
    source = cast("Any", place)
    cls: Any = source.__class__
    codec: Codec = cls.__kaa_codec__()
    fresh = cls.at_place(Buffer(bytearray(codec.size)), 0)
    copy_storage(fresh._storage, 0, source._storage, source._offset, codec.size)
    return fresh


def as_bytes(place: object) -> Slice[u8]:
    """A writable view of a struct's or array's bytes."""
    at = cast("Any", place)
    return Slice.over(u8, at._storage, at._offset, at.__class__.__kaa_codec__().size)


def struct_class(cls: object) -> type | None:
    """The @struct class that an annotation names (also a subscripted generic one), or None."""
    origin = get_origin(cls) or cls
    return origin if isinstance(origin, type) and "__kaa_struct__" in origin.__dict__ else None


if TYPE_CHECKING:
    _ = Qualified
