# SPDX-License-Identifier: Apache-2.0
"""How a field is shared: `Guarded`, `Rcu`, `PerCpu`, `Owned`, `Relaxed`, `Once` (transparent to type checkers), and
`Atomic`, a value.

Under CPython every operation is sequentially consistent, whatever order its name asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar

from kaa.lang.annotations import Qualifier
from kaa.lang.codecs import Codec, IntegerCodec, PlaceCodec, codec_of
from kaa.lang.integers import width_of
from kaa.lang.memory import Buffer, Storage

T = TypeVar("T")
C = TypeVar("C", bound=type)

if TYPE_CHECKING:
    Guarded = Annotated
    Bits = Annotated
    Rcu = Annotated[T, "rcu"]
    PerCpu = Annotated[T, "percpu"]
    Owned = Annotated[T, "owned"]
    Relaxed = Annotated[T, "relaxed"]
    Once = Annotated[T, "once"]
else:
    Guarded = Qualifier("Guarded")
    Bits = Qualifier("Bits")
    Rcu = Qualifier("Rcu")
    PerCpu = Qualifier("PerCpu")
    Owned = Qualifier("Owned")
    Relaxed = Qualifier("Relaxed")
    Once = Qualifier("Once")


def guarded(lock: str) -> Callable[[C], C]:
    """Fields declared in the class that do not say otherwise are `Guarded[…, lock]`."""

    def decorate(cls: C) -> C:
        cls.__kaa_sharing__ = ("Guarded", lock)  # type: ignore[attr-defined]
        return cls

    return decorate


def owned(cls: C) -> C:
    """Fields declared in the class that do not say otherwise are `Owned`: one thread's own."""
    cls.__kaa_sharing__ = ("Owned", "")  # type: ignore[attr-defined]
    return cls


def part(cls: C) -> C:
    """An instance is part of the one object that refers to it: what protects that field protects the instance."""
    cls.__kaa_sharing__ = ("Part", "")  # type: ignore[attr-defined]
    return cls


def fence() -> None:
    """A full memory barrier: what this processor wrote before is visible to all before it reads anything after.
    Nothing weaker orders a store before a later load, not even of an Atomic."""


def acquire_fence() -> None:
    """No load that precedes is carried out after anything that follows. Free on x86."""


def release_fence() -> None:
    """No store that follows is carried out before anything that precedes. Free on x86."""


class Atomic(Generic[T]):
    """A machine integer (or bool, or enum) that threads share. Operations are sequentially consistent unless their
    names say otherwise; arithmetic wraps.
    """

    __kaa_element__: ClassVar[object] = None
    _storage: Storage
    _offset: int

    if not TYPE_CHECKING:
        _classes: ClassVar[dict[object, type]] = {}

        def __class_getitem__(cls, element: object) -> type:
            found = cls._classes.get(element)
            if found is None:
                found = cls._classes[element] = type("Atomic", (Atomic,), {"__kaa_element__": element})
            return found

    def __init__(self, value: T) -> None:
        codec = self._inner()
        self._storage, self._offset = Buffer(bytearray(codec.size)), 0
        codec.store(self._storage, 0, value)

    @classmethod
    def _inner(cls) -> Codec:
        """The integer's codec. `Atomic(0)` does not know its width under CPython: it is wide enough for all."""
        return codec_of(cls.__kaa_element__) if cls.__kaa_element__ is not None else IntegerCodec(128, signed=True)

    @classmethod
    def at_place(cls, storage: Storage, offset: int) -> Any:
        place = object.__new__(cls)
        place._storage, place._offset = storage, offset
        return place

    @classmethod
    def __kaa_codec__(cls) -> Codec:
        return PlaceCodec(cls, cls._inner().size, cls._inner().align)

    def _wrapped(self, value: int) -> Any:
        width = width_of(self.__kaa_element__) if self.__kaa_element__ is not None else None
        if width is None:
            return value
        bits, signed = width
        value &= (1 << bits) - 1
        return value - (1 << bits) if signed and value >> (bits - 1) else value

    def load(self) -> T:
        return self._inner().load(self._storage, self._offset)

    def store(self, value: T) -> None:
        self._inner().store(self._storage, self._offset, value)

    load_acquire = load
    """Nothing that follows in the program happens before it."""
    load_relaxed = load
    """In no order with anything else."""
    store_release = store
    """Nothing that precedes in the program happens after it. Later loads may happen before it."""
    store_relaxed = store

    def store_release_low(self, value: int) -> None:
        """As store_release, of the lowest byte; the others stay what they are. (Mixed sizes are no C11, but every
        machine with byte stores orders them like stores of words.)"""
        rest: Any = self.load()
        self.store(self._wrapped(rest & ~0xFF | value & 0xFF))

    def exchange(self, value: T) -> T:
        """Store; give what was there."""
        old = self.load()
        self.store(value)
        return old

    def fetch_add(self, value: int) -> T:
        old: Any = self.load()
        return self.exchange(self._wrapped(old + value))

    def fetch_sub(self, value: int) -> T:
        old: Any = self.load()
        return self.exchange(self._wrapped(old - value))

    def fetch_or(self, value: T) -> T:
        old: Any = self.load()
        return self.exchange(old | value)

    def fetch_and(self, value: T) -> T:
        old: Any = self.load()
        return self.exchange(old & value)

    def compare_exchange(self, old: T, new: T) -> bool:
        """Store `new` if `old` is there; was it?"""
        found = self.load() == old
        if found:
            self.store(new)
        return found
