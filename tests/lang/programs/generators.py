# SPDX-License-Identifier: Apache-2.0
"""Generators are inlined into the loop that consumes them; @contextmanager into the with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kaa.lang import inline, u32, usize
from kaa.lang.testing import emit


class Stop(Exception):
    pass


def count(first: int, last: int) -> Iterator[int]:
    n = first
    while n < last:
        yield n
        n += 1


def evens(last: int) -> Iterator[int]:
    for n in count(0, last):
        if n % 2 == 0:
            yield n


def pairs(last: int) -> Iterator[tuple[int, int]]:
    for a in range(last):
        for b in range(a):
            yield a, b


def guarded(last: int) -> Iterator[int]:
    emit(1000)
    try:
        for n in range(last):
            yield n
    finally:
        emit(1001)


def stopping(last: int) -> Iterator[int]:
    for n in range(100):
        if n == last:
            return
        yield n


def several() -> Iterator[int]:
    yield 1
    yield 2
    if True:
        yield 3


def chained() -> Iterator[int]:
    yield from several()
    yield from count(10, 12)


class Node:
    value: int
    next: Node | None = None

    def __init__(self, value: int, next: Node | None) -> None:
        self.value = value
        self.next = next


class Chain:
    head: Node | None = None

    def add(self, value: int) -> None:
        self.head = Node(value, self.head)

    def __iter__(self) -> Iterator[Node]:
        node = self.head
        while node is not None:
            yield node
            node = node.next

    def above(self, limit: int) -> Iterator[int]:
        for node in self:
            if node.value > limit:
                yield node.value


def case_simple() -> None:
    for n in count(2, 5):
        emit(n)
    for n in evens(7):
        emit(n)
    for a, b in pairs(4):
        emit(a * 10 + b)


def case_several_yields() -> None:
    for n in several():
        emit(n)
    for n in chained():
        if n == 2:
            continue
        emit(n)


def case_break_and_continue() -> None:
    for n in stopping(6):
        if n == 1:
            continue
        if n == 4:
            break
        emit(n)
    else:
        emit(-1)
    for n in stopping(2):
        emit(n)
    else:
        emit(-2)


def case_methods() -> None:
    chain = Chain()
    for n in range(5):
        chain.add(n)
    for node in chain:
        node.value += 1
    for value in chain.above(2):
        emit(value)
    for outer in chain:
        for inner in chain:
            if inner is outer:
                break
            emit(outer.value * 10 + inner.value)


def case_finally_in_a_generator() -> None:
    for n in guarded(3):
        emit(n)


def search(chain: Chain, wanted: int) -> Node | None:
    for node in chain:
        if node.value == wanted:
            return node
    return None


def case_return_from_the_loop() -> None:
    chain = Chain()
    for n in range(5):
        chain.add(n)
    found = search(chain, 3)
    emit(found.value if found is not None else -1)
    emit(int(search(chain, 8) is None))


def case_same_generator_twice() -> None:
    total = 0
    for a in count(0, 3):
        for b in count(a, 3):
            total += a * b
    emit(total)


def case_sums_of_generators() -> None:
    emit(sum(n * n for n in count(0, 5)))
    emit(int(any(n == 3 for n in count(0, 5))))
    emit(int(all(n < 4 for n in count(0, 5))))


class Lock:
    held: bool = False


@contextmanager
def locked(lock: Lock) -> Iterator[Lock]:
    assert not lock.held
    lock.held = True
    emit(1)
    try:
        yield lock
    finally:
        lock.held = False
        emit(2)


def use(lock: Lock, way: int) -> int:
    with locked(lock) as same:
        emit(int(same.held))
        if way == 1:
            return 5
        if way == 2:
            raise Stop
    return 6


def case_contextmanager() -> None:
    lock = Lock()
    for way in range(3):
        try:
            emit(use(lock, way))
        except Stop:
            emit(-1)
        emit(int(lock.held))


@inline
def each(last: u32) -> Iterator[u32]:
    n: u32 = 0
    while n < last:
        yield n
        n += 1


@inline
def total(values: Iterator[u32]) -> u32:
    result: u32 = 0
    for value in values:
        result += value
    return result


def case_generator_passed_to_inline() -> None:
    emit(total(each(5)))


def squares(last: usize) -> Iterator[usize]:
    for n in range(last):
        yield n * n


def case_list_of_a_generator() -> None:
    xs = [x + 1 for x in squares(4)]
    for x in xs:
        emit(int(x))
