# SPDX-License-Identifier: Apache-2.0
"""deque[T]: a double-ended queue. A ring: element i stands at (head + i) modulo the capacity, a power of two.

Only growing allocates; when that raises MemoryError the deque is as before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from kaa.lang import inline, noinline, sizeof, usize
from kaa.lang.unsafe import Ptr, allocate, copy_bytes, release

T = TypeVar("T")


class Deque(Generic[T]):
    """Python's collections.deque, without a maximum length."""

    data: Ptr[T]
    head: usize
    length: usize
    capacity: usize
    frozen: bool
    """`data` lies in the image and must not be released."""

    def __init__(self) -> None:
        self.data = Ptr[T](0)
        self.head = 0
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
    def place(self, index: usize) -> usize:
        """Where element `index` stands."""
        return (self.head + index) & (self.capacity - 1)

    @inline
    def __getitem__(self, index: usize) -> T:
        assert index < self.length, "deque index out of range"
        return self.data[self.place(index)]

    @inline
    def __setitem__(self, index: usize, value: T) -> None:
        assert index < self.length, "deque index out of range"
        self.data[self.place(index)] = value

    @inline
    def __iter__(self) -> Iterator[T]:
        length = self.length
        index: usize = 0
        while index < self.length:
            yield self.data[self.place(index)]
            assert self.length == length, "deque mutated during iteration"
            index += 1

    @inline
    def append(self, value: T) -> None:
        """Add on the right. Raises MemoryError."""
        if self.length == self.capacity:
            self.grow()
        self.data[self.place(self.length)] = value
        self.length += 1

    def appendleft(self, value: T) -> None:
        """Add on the left. Raises MemoryError."""
        if self.length == self.capacity:
            self.grow()
        self.head = self.place(self.capacity - 1)
        self.data[self.head] = value
        self.length += 1

    def pop(self) -> T:
        """Remove and give the rightmost element."""
        assert self.length > 0, "pop from an empty deque"
        self.length -= 1
        return self.data.take(self.place(self.length))

    def popleft(self) -> T:
        """Remove and give the leftmost element."""
        assert self.length > 0, "pop from an empty deque"
        first = self.head
        self.head = self.place(1)
        self.length -= 1
        return self.data.take(first)

    def clear(self) -> None:
        """Release all elements, first to last; the buffer stays."""
        while self.length > 0:
            self.popleft()

    @noinline
    def grow(self) -> None:
        """Double the ring. Raises MemoryError."""
        capacity = max(self.capacity * 2, 4)
        data = Ptr[T](allocate(capacity * sizeof(T)))
        if self.length > 0:
            first = min(self.length, self.capacity - self.head)
            copy_bytes(data.address, (self.data + self.head).address, first * sizeof(T))
            copy_bytes((data + first).address, self.data.address, (self.length - first) * sizeof(T))
        self.release_buffer()
        self.data = data
        self.head = 0
        self.capacity = capacity
        self.frozen = False

    def release_buffer(self) -> None:
        """Give the buffer back."""
        if self.capacity > 0 and not self.frozen:
            release(self.data.address, self.capacity * sizeof(T))


def freeze(value: deque[object]) -> dict[str, object]:
    """CPython only: the fields of the frozen Deque for a Python deque."""
    capacity = 1 << max(0, len(value) - 1).bit_length() if value else 0
    return {
        "data": [*value, *[None] * (capacity - len(value))] if value else None,
        "head": 0,
        "length": len(value),
        "capacity": capacity,
        "frozen": True,
    }
