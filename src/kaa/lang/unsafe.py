# SPDX-License-Identifier: Apache-2.0
"""Raw addresses, for the modules on the compiler's unsafe list. Under CPython: on `memory`, a simulated space.

What native code does not check, this does where it can: a release of a buffer that is none, an access to page 0.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar, cast

from kaa.lang.annotations import Qualifier
from kaa.lang.codecs import Codec, ObjectCodec, PlaceCodec, PointerCodec, codec_of
from kaa.lang.integers import u8, u32, u64
from kaa.lang.markers import F, note
from kaa.lang.memory import Buffer, copy, memory
from kaa.lang.sequences import Bytes, Slice
from kaa.lang.sharing import acquire_fence, fence, release_fence
from kaa.lang.structs import struct

T = TypeVar("T")
U = TypeVar("U")

__all__ = [
    "acquire_fence",
    "ClassInfo",
    "Lookup",
    "Ptr",
    "Unowned",
    "address_of",
    "adopt",
    "allocate",
    "asm",
    "class_at",
    "compiler_barrier",
    "copy_bytes",
    "extern",
    "fence",
    "function_address",
    "hash_key",
    "leak",
    "memory",
    "move",
    "release",
    "release_fence",
    "retain",
    "same",
    "symbol",
    "text_pieces",
    "volatile_load",
    "volatile_store",
    "zero",
]

if TYPE_CHECKING:
    Unowned = Annotated[T, "unowned"]
    Lookup = Annotated[T | Bytes, "lookup"]
else:
    Unowned = Qualifier("Unowned")
    """A field that holds a reference without counting it: for intrusive lists."""
    Lookup = Qualifier("Lookup")
    """Lookup[K] is Bytes where K is bytes, and K otherwise: what a dict is asked for."""


class Ptr(Generic[T]):
    """A raw address of T's. No bounds check. If T is a class, elements are references: zeroed memory is None."""

    __kaa_element__: ClassVar[object] = u8
    address: u64

    if not TYPE_CHECKING:
        _classes: ClassVar[dict[object, type]] = {}

        def __class_getitem__(cls, element: object) -> type:
            found = cls._classes.get(element)
            if found is None:
                found = cls._classes[element] = type("Ptr", (Ptr,), {"__kaa_element__": element})
            return found

    def __init__(self, address: u64) -> None:
        self.address = u64(address)
        self._codec = codec_of(self.__kaa_element__)

    @classmethod
    def __kaa_codec__(cls) -> Codec:
        return PointerCodec(cls)

    def _at(self, index: int) -> int:
        return self.address + index * self._codec.size

    def __getitem__(self, index: int) -> T:
        """Element `index`, borrowed; for a struct, its place."""
        address = self._at(index)
        if isinstance(self._codec, PlaceCodec):
            buffer, offset = memory.buffer_at(address)
            if offset + self._codec.size <= len(buffer.data):
                return cast("T", self._codec.load(buffer, offset))
        return cast("T", self._codec.load(memory, address))

    def __setitem__(self, index: int, value: T) -> None:
        """Store; an old reference is released."""
        self._codec.store(memory, self._at(index), value)

    def take(self, index: int) -> T:
        """Move the element out, leaving None (an integer stays where it is)."""
        value = self[index]
        if isinstance(self._codec, ObjectCodec):
            memory.store_object(self._at(index), None)
        return value

    def place(self) -> T:
        """The struct pointed at."""
        return self[0]

    def slice(self, count: int) -> Slice[T]:
        """A view of `count` elements from here."""
        return Slice.over(self.__kaa_element__, memory, self.address, count)

    def cast(self, element: type[U]) -> Ptr[U]:
        """The same address as a pointer to something else."""
        return Ptr[element](self.address)  # type: ignore[valid-type]

    def __add__(self, count: int) -> Ptr[T]:
        return type(self)(self._at(count))

    def __sub__(self, count: int) -> Ptr[T]:
        return type(self)(self._at(-count))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ptr) and cast("Ptr[Any]", other).address == self.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __bool__(self) -> bool:
        return self.address != 0

    def __repr__(self) -> str:
        return f"Ptr[{getattr(self.__kaa_element__, '__name__', self.__kaa_element__)}]({self.address:#x})"


_address_of_object: dict[int, tuple[int, object]] = {}
_object_at: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_leaked: dict[int, list[object]] = {}


def address_of(place: object) -> u64:
    """The address of a struct, array, slice, bytes object or class instance."""
    if hasattr(place, "_storage"):
        at = cast("Any", place)
        return u64(at._storage.address(at._offset))
    if isinstance(place, (bytes, bytearray)):
        known = _address_of_object.get(id(place))
        if known is None:
            data = place if isinstance(place, bytearray) else bytearray(place)
            known = _address_of_object[id(place)] = (Buffer(data).address(0), place)
        return u64(known[0])
    return u64(_instance_address(cast("Any", place)))


def _instance_address(instance: Any) -> int:
    """A class instance has an address that nothing can be read from; `class_at` finds it again."""
    address = getattr(instance, "_kaa_address", None)
    if address is None:
        address = Buffer(bytearray(8)).address(0)
        object.__setattr__(instance, "_kaa_address", address)
        _object_at[address] = instance
    return address


def class_at(cls: type[T], address: u64) -> T:
    """The instance at an address, borrowed."""
    found = _object_at[address]
    assert isinstance(found, cls)
    return found


def retain(instance: object) -> None:
    """Count one more reference."""
    _leaked.setdefault(address_of(instance), []).append(instance)


def leak(instance: object) -> u64:
    """Give up the ownership of a reference: its address."""
    retain(instance)
    return address_of(instance)


def adopt(cls: type[T], address: u64) -> T:
    """Take back what leak (or retain) gave up."""
    found = _leaked[address].pop()
    assert isinstance(found, cls)
    return found


def same(a: object, b: object) -> bool:
    """`a is b or a == b`, as containers compare: by value for numbers and bytes, else identity, or __eq__ where there
    is one.
    """
    return a is b or a == b


def hash_key(key: Lookup[T]) -> u32:
    """The hash of a dict's key: natively one of the two functions, by the type of `key`. Never 0."""
    from kaa.lang.builtins import hashing

    return hashing.hash_integer(u64(key)) if isinstance(key, int) else hashing.hash_bytes(cast("Bytes", key))


def allocate(size: u64) -> u64:
    """The address of a zeroed raw buffer, 16-aligned. Raises MemoryError."""
    return u64(memory.allocate(size))


def release(address: u64, size: u64) -> None:
    """Free what allocate(size) gave. Elements are not released."""
    memory.release(address, size)


def move(destination: u64, source: u64, size: u64) -> None:
    """memmove: the ranges may overlap. References move as bits do: no count is touched."""
    copy(memory, destination, memory, source, size)


def copy_bytes(destination: u64, source: u64, size: u64) -> None:
    """memcpy: the ranges do not overlap."""
    copy(memory, destination, memory, source, size)


def zero(address: u64, size: u64) -> None:
    """Fill with zero bytes. References are forgotten, not released."""
    memory.write(address, bytes(size))


def volatile_load(pointer: Ptr[T]) -> T:
    """One load that the compiler may not move, repeat or drop: MMIO."""
    return pointer[0]


def volatile_store(pointer: Ptr[T], value: T) -> None:
    """One store that the compiler may not move, repeat or drop: MMIO."""
    pointer[0] = value


def compiler_barrier() -> None:
    """The compiler moves no access across this."""


_symbols: dict[str, int] = {}


def symbol(name: str) -> u64:
    """The address of a linker or assembly symbol. Under CPython each has a page of zeroes."""
    if name not in _symbols:
        _symbols[name] = Buffer(bytearray(4096)).address(0)
    return u64(_symbols[name])


def function_address(function: Callable[..., object]) -> u64:
    """The address of a compiled function."""
    return symbol(f"{function.__module__}.{function.__qualname__}")


def asm(template: str, out: str | None = None, ins: list[str] | None = None, clobber: str = "") -> Callable[[F], F]:
    """A function that is one GNU extended asm statement, always volatile; its body is the stand-in under CPython.

    `template`: operands %0, %1…: the result first (if any), then the parameters in order. `out`: the result's
    constraint, "=a". `ins`: the parameters' constraints, e.g. ["c", "r"]. `clobber`: "rdx,memory".
    """
    return lambda fn: note(fn, "asm", (template, out, ins or [], clobber))


def extern(symbol_name: str) -> Callable[[F], F]:
    """A C or assembly function under this symbol (SysV ABI); the body is the stand-in under CPython."""
    return lambda fn: note(fn, "extern", symbol_name)


@struct
class ClassInfo:
    """What the runtime knows of a class: one per compiled class, passed to the object allocator."""

    name: u64
    """Address of the class's name, NUL-terminated."""
    size: u32
    """Bytes of an instance, its header included."""
    id: u32
    live: u64
    """Instances alive now."""
    slab: u64
    """The allocator's."""
    drop: u64
    """Address of the function that releases the fields."""


if TYPE_CHECKING:
    from kaa.lang.builtins.text import Piece


def text_pieces(text: str) -> Slice[Piece]:
    """The pieces that a str is, natively. Under CPython: one literal."""
    from kaa.lang.builtins.text import Piece

    data = text.encode()
    pieces = Slice.over(Piece, Buffer(bytearray(24)), 0, 1)
    piece = pieces[0]
    piece.length = len(data)
    piece.value = address_of(data) if data else u64(0)
    return pieces
