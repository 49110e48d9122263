# SPDX-License-Identifier: Apache-2.0
"""Classes: fields, inheritance, dispatch, properties, dunders, dataclasses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from kaa.lang import u32, u64, usize
from kaa.lang.testing import emit


class Point:
    """Fields with and without a default."""

    x: int
    y: int = 7

    def __init__(self, x: int) -> None:
        self.x = x

    def total(self) -> int:
        return self.x + self.y

    def move(self, dx: int, dy: int = 1) -> Point:
        self.x += dx
        self.y += dy
        return self

    def __eq__(self, other: Point) -> bool:
        return self.x == other.x and self.y == other.y

    def __lt__(self, other: Point) -> bool:
        return self.x < other.x

    def __add__(self, other: Point) -> Point:
        return Point(self.x + other.x)


class Shape(ABC):
    name: int = 0

    @abstractmethod
    def area(self) -> int: ...

    def describe(self) -> int:
        return self.area() * 10 + self.name

    def corners(self) -> int:
        return 0


class Square(Shape):
    side: int

    def __init__(self, side: int) -> None:
        self.side = side
        self.name = 1

    def area(self) -> int:
        return self.side * self.side

    def corners(self) -> int:
        return 4


class Cut(Square):
    missing: int

    def __init__(self, side: int, missing: int) -> None:
        super().__init__(side)
        self.missing = missing
        self.name += 1

    def area(self) -> int:
        return super().area() - self.missing


class Blob(Shape):
    def area(self) -> int:
        return 3


def case_fields_and_defaults() -> None:
    p = Point(3)
    emit(p.total())
    emit(p.move(1).move(2, 3).total())
    q = p
    q.x = 100
    emit(p.x)


def case_operators() -> None:
    a, b = Point(1), Point(2)
    emit(int(a == b))
    b.x = 1
    emit(int(a == b))
    emit(int(a is b))
    emit(int(a is not b))
    emit(int(a != b))
    emit((a + b).x)
    emit(int(a < b))


def report(shape: Shape) -> None:
    emit(shape.area())
    emit(shape.describe())
    emit(shape.corners())
    if isinstance(shape, Square):
        emit(shape.side)
    if not isinstance(shape, Cut):
        emit(-1)


def case_dispatch() -> None:
    report(Square(5))
    report(Cut(5, 4))
    report(Blob())


class Temperature:
    _degrees: int

    def __init__(self) -> None:
        self._degrees = 20

    @property
    def kelvin(self) -> int:
        return self._degrees + 273

    @kelvin.setter
    def kelvin(self, value: int) -> None:
        self._degrees = value - 273

    @staticmethod
    def freezing() -> int:
        return 273

    @classmethod
    def hot(cls) -> Temperature:
        made = cls()
        made._degrees = 99
        return made


def case_properties_and_kinds_of_methods() -> None:
    t = Temperature()
    emit(t.kelvin)
    t.kelvin = 300
    emit(t._degrees)
    emit(Temperature.freezing() + t.freezing())
    emit(Temperature.hot().kelvin)


class Bag:
    """The container dunders."""

    first: u64
    count: usize

    def __init__(self) -> None:
        self.first = 10
        self.count = 3

    def __len__(self) -> usize:
        return self.count

    def __getitem__(self, index: usize) -> u64:
        return self.first + index

    def __setitem__(self, index: usize, value: u64) -> None:
        self.first = value - index

    def __contains__(self, value: u64) -> bool:
        return self.first <= value < self.first + self.count

    def __iter__(self) -> Iterator[u64]:
        for index in range(self.count):
            yield self.first + index


class Switch:
    on: bool = False

    def __bool__(self) -> bool:
        return self.on


def case_container_dunders() -> None:
    bag = Bag()
    emit(int(len(bag)))
    emit(int(bag[2]))
    bag[1] = 50
    emit(int(bag[0]))
    emit(int(51 in bag))
    emit(int(52 not in bag))
    for value in bag:
        emit(int(value))
    if bag:
        emit(1)
    bag.count = 0
    if not bag:
        emit(2)
    switch = Switch()
    emit(int(bool(switch)))
    switch.on = True
    emit(1 if switch else 0)


@dataclass(eq=False)
class Extent:
    start: u32
    length: u32 = 8

    def end(self) -> u32:
        return self.start + self.length


def case_dataclass() -> None:
    emit(Extent(4).end())
    emit(Extent(4, 5).end())
    emit(Extent(length=1, start=2).end())


class Outer:
    inner: Point
    other: Point | None = None

    def __init__(self) -> None:
        self.inner = Point(1)


def case_objects_in_fields() -> None:
    outer = Outer()
    outer.other = outer.inner
    outer.inner.x = 9
    assert outer.other is not None
    emit(outer.other.x)
    outer.inner = Point(2)
    emit(outer.other.x)
    emit(outer.inner.x)


def make(depth: int) -> Outer:
    outer = Outer()
    outer.inner.move(depth)
    return outer


def case_temporaries() -> None:
    emit(make(3).inner.move(4).total())
    emit(Point(5).total())
    Point(6)


class Counter:
    """Class attributes that are constants, and class-level access."""

    LIMIT = 5
    value: int = 0

    def step(self) -> bool:
        self.value += 1
        return self.value < self.LIMIT


def case_class_constants() -> None:
    counter = Counter()
    while counter.step():
        pass
    emit(counter.value)
    emit(Counter.LIMIT)
