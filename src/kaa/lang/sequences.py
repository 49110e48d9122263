# SPDX-License-Identifier: Apache-2.0
"""Array, Slice and Bytes under CPython.

An Array is N values at a place (in a struct, in a local, in simulated memory); a Slice is a view of some of them, or
of a pointer's target. `Bytes` is what a read-only view is called: `bytes` objects and `Slice[u8]` both are, so both
have its methods.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, cast, overload

from kaa.lang.codecs import BoolCodec, Codec, IntegerCodec, PlaceCodec, codec_of
from kaa.lang.integers import u8
from kaa.lang.memory import Buffer, Storage, copy

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
N = TypeVar("N")


class _Sequence(Generic[T]):
    """Elements of one type at a place, bounds-checked."""

    __kaa_element__: ClassVar[object] = u8
    _storage: Storage
    _offset: int
    _length: int
    _codec: Codec

    def __len__(self) -> int:
        return self._length

    def _at(self, index: int) -> int:
        if not 0 <= index < self._length:
            raise IndexError(f"index {index} of a sequence of {self._length}")
        return self._offset + index * self._codec.size

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Slice[T]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            first, last = self._bounds(index)
            place = self._offset + first * self._codec.size
            return Slice.over(self.__kaa_element__, self._storage, place, last - first)
        if -self._length <= index < 0:
            index += self._length  # the compiler accepts only a negative constant
        return self._codec.load(self._storage, self._at(index))

    def __setitem__(self, index: int, value: T) -> None:
        if -self._length <= index < 0:
            index += self._length
        self._codec.store(self._storage, self._at(index), value)

    def _bounds(self, index: slice) -> tuple[int, int]:
        first = 0 if index.start is None else int(index.start)
        last = self._length if index.stop is None else int(index.stop)
        first += self._length * (first < 0)
        last += self._length * (last < 0)
        if self.__kaa_element__ is u8:  # it may pass as Bytes, whose slices end where the bytes do, as Python's
            last = min(last, self._length)
            first = min(first, last)
        if index.step is not None or not 0 <= first <= last <= self._length:
            raise IndexError(f"slice [{index.start}:{index.stop}] of a sequence of {self._length}")
        return first, last

    def __iter__(self) -> Iterator[T]:
        for index in range(self._length):
            yield self._codec.load(self._storage, self._at(index))

    def __bytes__(self) -> bytes:
        return self._storage.read(self._offset, self._length * self._codec.size)

    def __contains__(self, value: object) -> bool:
        return any(element == value for element in self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"

    def fill(self, value: T) -> None:
        """Set every element."""
        if isinstance(self._codec, (IntegerCodec, BoolCodec)) and self._length:
            self[0] = value
            one = self._storage.read(self._offset, self._codec.size)
            self._storage.write(self._offset, one * self._length)
        else:
            for index in range(self._length):
                self[index] = value


class Slice(_Sequence[T]):
    """A mutable view: pointer and length. `Slice[u8]` passes as Bytes."""

    if not TYPE_CHECKING:
        _classes: ClassVar[dict[object, type]] = {}

        def __class_getitem__(cls, element: object) -> type:
            found = cls._classes.get(element)
            if found is None:
                found = cls._classes[element] = type("Slice", (Slice,), {"__kaa_element__": element})
            return found

    @staticmethod
    def over(element: object, storage: Storage, offset: int, length: int) -> Slice[Any]:
        """A view of `length` elements at a place. Of the simulation: compiled code slices arrays and pointers."""
        view = object.__new__(Slice[element])  # type: ignore[valid-type]
        view._codec = codec_of(element)
        view._storage, view._offset, view._length = storage, offset, length
        return view

    @staticmethod
    def of(data: bytearray | bytes) -> Slice[u8]:
        """A view of a bytearray's own bytes (or of a copy of bytes): for tests."""
        return Slice.over(u8, Buffer(data if isinstance(data, bytearray) else bytearray(data)), 0, len(data))

    @classmethod
    def __kaa_codec__(cls) -> Codec:
        from kaa.lang.codecs import ObjectCodec

        return ObjectCodec(16)

    def copy_from(self, source: Slice[T] | Bytes) -> None:
        """Copy all of `source` to the beginning of this view; it must fit."""
        if len(source) > self._length:
            raise IndexError(f"copy of {len(source)} elements into a slice of {self._length}")
        if isinstance(source, _Sequence):
            held = source
            copy(self._storage, self._offset, held._storage, held._offset, len(held) * self._codec.size)
        else:
            self._storage.write(self._offset, bytes(source))

    def copy_to(self, target: Slice[T]) -> None:
        """Copy all of this view to the beginning of `target`; it must fit."""
        target.copy_from(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (bytes, bytearray, Slice)):
            return bytes(self) == bytes(cast("bytes", other))
        return NotImplemented

    def __hash__(self) -> int:
        return hash(bytes(self))

    def startswith(self, prefix: Bytes) -> bool:
        return bytes(self).startswith(bytes(prefix))

    def endswith(self, suffix: Bytes) -> bool:
        return bytes(self).endswith(bytes(suffix))

    def find(self, wanted: int | Bytes) -> int:
        """The first index of a byte value or of a sequence of bytes; -1 if absent."""
        return bytes(self).find(wanted if isinstance(wanted, int) else bytes(wanted))

    def rfind(self, wanted: int | Bytes) -> int:
        """The last index of a byte value or of a sequence of bytes; -1 if absent."""
        return bytes(self).rfind(wanted if isinstance(wanted, int) else bytes(wanted))


if TYPE_CHECKING:

    class Bytes(Protocol):
        """A read-only view of bytes. (`copy_to` is missing here because `bytes` has none for a type checker.)"""

        def __len__(self) -> int: ...
        @overload
        def __getitem__(self, index: int, /) -> int: ...
        @overload
        def __getitem__(self, index: slice, /) -> Bytes: ...
        def __iter__(self) -> Iterator[int]: ...
        def __bytes__(self) -> bytes: ...
        def __contains__(self, value: Any, /) -> bool: ...
        def startswith(self, prefix: Any, /) -> bool: ...
        def endswith(self, suffix: Any, /) -> bool: ...
        def find(self, wanted: Any, /) -> int: ...
        def rfind(self, wanted: Any, /) -> int: ...

    # N is no type, so a type checker is not told of it (pyproject: reportInvalidTypeArguments).
    class Array(_Sequence[T]):
        def __init__(self, values: Iterable[T] = ()) -> None: ...
else:

    class _BytesType(type):
        """isinstance(x, Bytes) is true of bytes and of views of bytes."""

        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, (bytes, bytearray, memoryview)) or (
                isinstance(value, Slice) and value.__kaa_element__ is u8
            )

    class Bytes(metaclass=_BytesType):
        """A read-only view of bytes: a `bytes` object or a Slice[u8]."""

        @classmethod
        def __kaa_codec__(cls) -> Codec:
            from kaa.lang.codecs import ObjectCodec

            return ObjectCodec(16)

    class Array(_Sequence):
        """`Array[T, N]()`: N zeroed values inline."""

        _classes: ClassVar[dict[object, type]] = {}
        __kaa_count__: ClassVar[int] = 0

        def __class_getitem__(cls, arguments: tuple[object, int]) -> type:
            found = cls._classes.get(arguments)
            if found is None:
                element, count = arguments
                body = {"__kaa_element__": element, "__kaa_count__": count}
                found = cls._classes[arguments] = type("Array", (Array,), body)
            return found

        def __init__(self, values: Iterable[object] = ()) -> None:
            codec = self.__kaa_codec__()
            self._place(Buffer(bytearray(codec.size)), 0)
            for index, value in enumerate(values):
                self[index] = value

        def _place(self, storage: Storage, offset: int) -> None:
            self._codec = codec_of(self.__kaa_element__)
            self._storage, self._offset, self._length = storage, offset, int(self.__kaa_count__)

        @classmethod
        def at_place(cls, storage: Storage, offset: int) -> Array:
            array = object.__new__(cls)
            array._place(storage, offset)
            return array

        @classmethod
        def __kaa_codec__(cls) -> Codec:
            element = codec_of(cls.__kaa_element__)
            return PlaceCodec(cls, element.size * int(cls.__kaa_count__), element.align)


def _bytes_copy_to(data: bytes, target: Slice[u8]) -> None:
    """Bytes.copy_to for bytes objects."""
    target.copy_from(data)


def _complete_bytes() -> None:
    """Give `bytes` the one method of Bytes that Python's lacks. A built-in type's dict has to be reached through the
    collector.
    """
    methods = cast("dict[str, object]", gc.get_referents(bytes.__dict__)[0])
    methods["copy_to"] = _bytes_copy_to
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(bytes))


_complete_bytes()
