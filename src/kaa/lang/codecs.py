# SPDX-License-Identifier: Apache-2.0
"""How a value of each type lies in memory: size, alignment, load, store (System V ABI for x86-64, natural alignment).
"""

from __future__ import annotations

import enum
import types
import typing
from typing import Protocol

from kaa.lang.annotations import Qualified, strip_qualifiers
from kaa.lang.integers import width_of
from kaa.lang.memory import Storage, copy


class Codec(Protocol):
    """One type's layout."""

    size: int
    align: int

    def load(self, storage: Storage, offset: int) -> typing.Any: ...
    def store(self, storage: Storage, offset: int, value: typing.Any) -> None: ...


class IntegerCodec:
    """A machine integer, or an enum held in one."""

    def __init__(self, bits: int, signed: bool, enum_class: type[enum.Enum] | None = None) -> None:
        self.size = self.align = bits // 8
        self.signed = signed
        self.enum_class = enum_class

    def load(self, storage: Storage, offset: int) -> object:
        value = int.from_bytes(storage.read(offset, self.size), "little", signed=self.signed)
        if self.enum_class is not None:
            try:
                return self.enum_class(value)
            except ValueError:  # native code does not check either
                return value
        return value

    def store(self, storage: Storage, offset: int, value: int) -> None:
        storage.write(offset, int(value).to_bytes(self.size, "little", signed=self.signed))


class BoolCodec:
    """One byte, 0 or 1."""

    size = align = 1

    def load(self, storage: Storage, offset: int) -> bool:
        return storage.read(offset, 1) != b"\0"

    def store(self, storage: Storage, offset: int, value: object) -> None:
        storage.write(offset, b"\1" if value else b"\0")


class ObjectCodec:
    """A reference (8 bytes) or a view (16): a Python object beside the bytes."""

    align = 8

    def __init__(self, size: int = 8) -> None:
        self.size = size

    def load(self, storage: Storage, offset: int) -> object:
        return storage.load_object(offset)

    def store(self, storage: Storage, offset: int, value: object) -> None:
        storage.store_object(offset, value)


class PlaceLike(Protocol):
    """What structs, arrays and atomics have in common: they are at a place."""

    _storage: Storage
    _offset: int


class PlaceCodec:
    """A struct, an array or an atomic: loading names the place, storing copies."""

    def __init__(self, cls: typing.Any, size: int, align: int) -> None:
        self.cls, self.size, self.align = cls, size, align

    def load(self, storage: Storage, offset: int) -> object:
        return self.cls.at_place(storage, offset)

    def store(self, storage: Storage, offset: int, value: typing.Any) -> None:
        source = value if hasattr(value, "_storage") else self.cls(value)
        copy(storage, offset, source._storage, source._offset, self.size)


class PointerCodec:
    """A Ptr[T]: an address."""

    size = align = 8

    def __init__(self, cls: typing.Any) -> None:
        self.cls = cls

    def load(self, storage: Storage, offset: int) -> object:
        return self.cls(int.from_bytes(storage.read(offset, 8), "little"))

    def store(self, storage: Storage, offset: int, value: typing.Any) -> None:
        storage.write(offset, (value.address if value is not None else 0).to_bytes(8, "little"))


def codec_of(annotation: object) -> Codec:
    """The codec of a type as it is written in an annotation (evaluated)."""
    if isinstance(annotation, Qualified) and annotation.kind == "Atomic":
        return codec_of(annotation.argument)
    annotation = strip_qualifiers(annotation)
    make = getattr(annotation, "__kaa_codec__", None)
    if make is not None:
        return make()
    if annotation is bool:
        return BoolCodec()
    width = width_of(annotation)
    if width is not None:
        if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
            return IntegerCodec(*width, annotation)
        return IntegerCodec(*width)
    return ObjectCodec()


def is_reference(annotation: object) -> bool:
    """Is a value of this type an object reference (or of a type not known under CPython)?"""
    return isinstance(annotation, (typing.TypeVar, types.UnionType)) or isinstance(codec_of(annotation), ObjectCodec)


def sizeof(cls: object) -> int:
    """The size in bytes of a value of a type; 8 for a reference."""
    return codec_of(cls).size
