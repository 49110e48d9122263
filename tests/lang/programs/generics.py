# SPDX-License-Identifier: Apache-2.0
"""Generic classes and functions; callables; lambdas into @inline; trampolines."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from kaa.lang import Trampoline, i32, inline, noinline, struct, u8, u32, u64
from kaa.lang.testing import emit

T = TypeVar("T")
U = TypeVar("U")


class Item:
    value: int

    def __init__(self, value: int) -> None:
        self.value = value

    def __del__(self) -> None:
        emit(-self.value)


class Stack(Generic[T]):
    items: list[T]

    def __init__(self) -> None:
        self.items = []

    def push(self, item: T) -> None:
        self.items.append(item)

    def pop(self) -> T:
        return self.items.pop()

    def __len__(self) -> int:
        return int(len(self.items))

    def __iter__(self) -> Iterator[T]:
        for item in reversed(self.items):
            yield item


class Pair(Generic[T, U]):
    first: T
    second: U

    def __init__(self, first: T, second: U) -> None:
        self.first = first
        self.second = second


@struct
class Cell(Generic[T]):
    address: u64

    def is_null(self) -> bool:
        return self.address == 0


def larger(a: T, b: T, key: Callable[[T], int]) -> T:
    return a if key(a) >= key(b) else b


def value_of(item: Item) -> int:
    return item.value


def negative(n: int) -> int:
    return -n


def same(n: int) -> int:
    return n


def case_generic_class() -> None:
    numbers: Stack[u32] = Stack()
    for n in range(4):
        numbers.push(u32(n))
    emit(numbers.pop())
    emit(len(numbers))
    for n in numbers:
        emit(n)
    items = Stack[Item]()
    items.push(Item(1))
    items.push(Item(2))
    top = items.pop()
    emit(top.value)
    del top
    emit(100)
    del items
    emit(101)


def case_two_parameters() -> None:
    pair = Pair[u8, bytes](3, b"abc")
    emit(pair.first)
    emit(int(len(pair.second)))
    other: Pair[bytes, int] = Pair(b"x", 5)
    emit(other.second)


def case_generic_function() -> None:
    emit(larger(3, 9, same))
    emit(larger(3, 9, negative))
    emit(larger(Item(4), Item(2), value_of).value)


class Table:
    operation: Callable[[int], int]

    def __init__(self, operation: Callable[[int], int]) -> None:
        self.operation = operation


OPERATIONS: list[Callable[[int], int]] = [same, negative]


def case_callables() -> None:
    table = Table(negative)
    emit(table.operation(4))
    table.operation = same
    emit(table.operation(4))
    f = negative if table.operation(1) == 1 else same
    emit(f(8))
    for operation in OPERATIONS:
        emit(operation(6))


@inline
def apply(n: int, f: Callable[[int], int]) -> int:
    return f(f(n))


@inline
def wait_until(condition: Callable[[], bool]) -> int:
    rounds = 0
    while not condition():
        rounds += 1
    return rounds


class Clock:
    now: int = 0

    def tick(self) -> int:
        self.now += 1
        return self.now


@noinline
def case_lambdas() -> None:
    step = 3
    emit(apply(1, lambda n: n + step))
    emit(apply(1, lambda n: apply(n, lambda m: m * 2)))
    clock = Clock()
    emit(wait_until(lambda: clock.tick() > 4))


def call_null(cell: Cell[u32], flag: bool, count: i32) -> int:
    if cell.is_null():
        raise OSError(errno.EFAULT)
    return count * 2 if flag else -1


def nothing(a: u32) -> None:
    emit(a)


def missing() -> int:
    raise FileNotFoundError


TABLE = [Trampoline(call_null), Trampoline(nothing), Trampoline(missing)]


def case_trampolines() -> None:
    emit(TABLE[0](5, 1, 0xFFFF_FFFF, 0, 0, 0))
    emit(TABLE[0](5, 0, 7, 0, 0, 0))
    emit(TABLE[0](0, 1, 7, 0, 0, 0))
    emit(TABLE[1](0x1_0000_0003, 0, 0, 0, 0, 0))
    emit(TABLE[2](0, 0, 0, 0, 0, 0))
