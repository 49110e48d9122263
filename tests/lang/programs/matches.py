# SPDX-License-Identifier: Apache-2.0
"""match on numbers, enums, constants, alternatives, captures and classes; enums."""

from __future__ import annotations

from enum import IntEnum, IntFlag

from kaa.lang import u8, u32, width
from kaa.lang.testing import emit

LIMIT = 100


class Kind(IntEnum):
    FILE = 1
    FOLDER = 2
    LINK = 7


@width(u32)
class Prot(IntFlag):
    READ = 1
    WRITE = 2
    EXEC = 4
    ALL = 7


@width(u8)
class Small(IntEnum):
    A = 200


class Shape:
    pass


class Circle(Shape):
    radius: int = 3


class Square(Shape):
    side: int = 4


def number(n: int) -> int:
    match n:
        case 0:
            return 10
        case 1 | 2 | 3:
            return 11
        case -5:
            return 12
        case x if x > LIMIT:
            return x
        case _:
            return 13


def kind(k: Kind) -> int:
    match k:
        case Kind.FILE:
            return 1
        case Kind.FOLDER | Kind.LINK:
            return 2
    return 3


def shape(s: Shape) -> int:
    match s:
        case Circle():
            return s.radius
        case Square():
            return s.side * 10
        case _:
            return -1


def optional(s: Shape | None) -> int:
    match s:
        case None:
            return 0
        case Circle():
            return 1
        case _:
            return 2


def protection(p: Prot) -> int:
    result = 0
    if p & Prot.READ:
        result += 1
    if p & Prot.WRITE:
        result += 10
    if p & (Prot.WRITE | Prot.EXEC) == Prot.EXEC:
        result += 100
    return result


def case_numbers() -> None:
    for n in (0, 1, 2, 3, 4, -5, 101):
        emit(number(n))


def case_enums() -> None:
    emit(kind(Kind.FILE))
    emit(kind(Kind.LINK))
    emit(kind(Kind(2)))
    emit(Kind.LINK + 1)
    emit(int(Kind.FILE == 1))
    emit(Small.A)


def case_flags() -> None:
    for n in range(8):
        emit(protection(Prot(n)))
    p = Prot.READ | Prot.EXEC
    emit(p)
    p &= ~Prot.READ
    emit(p)
    emit(Prot.ALL & ~Prot.WRITE)


def case_classes() -> None:
    emit(shape(Circle()))
    emit(shape(Square()))
    emit(shape(Shape()))
    emit(optional(None))
    emit(optional(Circle()))
    emit(optional(Square()))


def case_match_in_a_loop() -> None:
    for n in range(6):
        match n:
            case 1:
                continue
            case 4:
                break
        emit(n)
