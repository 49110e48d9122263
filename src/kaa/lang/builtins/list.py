# SPDX-License-Identifier: Apache-2.0
"""list[T]: a growable array. One raw buffer of `capacity` elements; the first `length` are alive.

Growing doubles the buffer (amortised constant time). Only growing allocates; when that raises MemoryError the list is
as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from kaa.lang import inline, noinline, sizeof, usize
from kaa.lang.unsafe import Ptr, allocate, copy_bytes, move, release, same, zero

T = TypeVar("T")


class List(Generic[T]):
    """Python's list."""

    data: Ptr[T]
    length: usize
    capacity: usize
    frozen: bool
    """`data` lies in the image and must not be released."""

    def __init__(self) -> None:
        self.data = Ptr[T](0)
        self.length = 0
        self.capacity = 0
        self.frozen = False

    def __del__(self) -> None:
        self.clear()
        self.release_buffer()

    @inline
    def __len__(self) -> usize:
        return self.length

    @inline
    def __getitem__(self, index: usize) -> T:
        assert index < self.length, "list index out of range"
        return self.data[index]

    @inline
    def __setitem__(self, index: usize, value: T) -> None:
        assert index < self.length, "list assignment index out of range"
        self.data[index] = value

    @inline
    def __iter__(self) -> Iterator[T]:
        index: usize = 0
        while index < self.length:
            yield self.data[index]
            index += 1

    @inline
    def __reversed__(self) -> Iterator[T]:
        index: usize = self.length
        while index > 0:
            index -= 1
            yield self.data[index]

    def __contains__(self, value: T) -> bool:
        index: usize = 0
        while index < self.length:
            if same(self.data[index], value):
                return True
            index += 1
        return False

    @inline
    def append(self, value: T) -> None:
        """Add at the end. Raises MemoryError."""
        if self.length == self.capacity:
            self.grow(self.length + 1)
        self.data[self.length] = value
        self.length += 1

    def insert(self, index: usize, value: T) -> None:
        """Insert before `index` (at the end if it is beyond). Raises MemoryError."""
        if index > self.length:
            index = self.length
        if self.length == self.capacity:
            self.grow(self.length + 1)
        here = self.data + index
        move((here + 1).address, here.address, (self.length - index) * sizeof(T))
        zero(here.address, sizeof(T))  # its bits have moved on: not a reference any more
        self.data[index] = value
        self.length += 1

    def extend(self, values: List[T]) -> None:
        """Append all of `values`, or, when memory is short, none. Raises MemoryError."""
        count = values.length
        if self.length + count > self.capacity:
            self.grow(self.length + count)
        index: usize = 0
        while index < count:
            self.data[self.length] = values.data[index]
            self.length += 1
            index += 1

    def pop(self) -> T:
        """Remove and give the last element."""
        assert self.length > 0, "pop from empty list"
        self.length -= 1
        return self.data.take(self.length)

    def pop_at(self, index: usize) -> T:
        """Remove and give the element at `index`: pop(index)."""
        assert index < self.length, "pop index out of range"
        value = self.data.take(index)
        self.close_gap(index)
        return value

    def __delitem__(self, index: usize) -> None:
        assert index < self.length, "list assignment index out of range"
        value = self.data.take(index)
        self.close_gap(index)
        del value

    def index(self, value: T) -> usize:
        """Where the first equal element is. Raises ValueError."""
        index: usize = 0
        while index < self.length:
            if same(self.data[index], value):
                return index
            index += 1
        raise ValueError

    def remove(self, value: T) -> None:
        """Remove the first equal element. Raises ValueError."""
        self.pop_at(self.index(value))

    def clear(self) -> None:
        """Release all elements, last first; the buffer stays."""
        while self.length > 0:
            self.length -= 1
            self.data.take(self.length)

    def close_gap(self, index: usize) -> None:
        """The element at `index` has been taken out: move the rest down."""
        self.length -= 1
        here = self.data + index
        move(here.address, (here + 1).address, (self.length - index) * sizeof(T))
        zero((self.data + self.length).address, sizeof(T))


    @noinline
    def grow(self, needed: usize) -> None:
        """Make room for `needed` elements. Raises MemoryError."""
        capacity = max(needed, self.capacity * 2, 4)
        data = Ptr[T](allocate(capacity * sizeof(T)))
        if self.length > 0:
            copy_bytes(data.address, self.data.address, self.length * sizeof(T))
        self.release_buffer()
        self.data = data
        self.capacity = capacity
        self.frozen = False

    def release_buffer(self) -> None:
        """Give the buffer back."""
        if self.capacity > 0 and not self.frozen:
            release(self.data.address, self.capacity * sizeof(T))


def freeze(value: list[object]) -> dict[str, object]:
    """CPython only: the fields of the frozen List for a Python list."""
    return {
        "data": list(value) or None,
        "length": len(value),
        "capacity": len(value),
        "frozen": True,
    }
