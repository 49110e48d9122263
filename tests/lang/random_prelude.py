# SPDX-License-Identifier: Apache-2.0
"""What every random program begins with: classes, a struct, functions that raise, yield and dispatch."""

from __future__ import annotations

HEAD = '''# SPDX-License-Identifier: Apache-2.0
"""A random program."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from kaa.lang import (
    Array, copy, i8, i16, i32, i64, struct, u8, u16, u32, u64, usize, wrapping_add, wrapping_mul, wrapping_sub,
)
from kaa.lang.testing import emit, emit_bytes

TEXT = b"the quick brown fox"


class Stop(Exception):
    pass


class Halt(Stop):
    pass


class Box:
    small: u8 = 3
    number: i32 = -7
    wide: u64 = 1000
    next: Box | None = None

    def __init__(self, wide: u64) -> None:
        self.wide = wide

    def __enter__(self) -> Box:
        emit(1)
        return self

    def __exit__(self, *exc: object) -> None:
        emit(2)


@struct
class Pair:
    a: u16
    b: i64 = -3
    c: Array[u8, 4]


class Base:
    value: i32 = 1

    def work(self, n: i64) -> i64:
        return n ^ 1

    def twice(self, n: i64) -> i64:
        return self.work(self.work(n))


class Left(Base):
    def work(self, n: i64) -> i64:
        return n ^ self.value


class Right(Left):
    extra: i64 = 5

    def work(self, n: i64) -> i64:
        self.value = 3
        return super().work(n) | self.extra


def make(n: i64) -> Base:
    if n & 3 == 0:
        return Base()
    if n & 3 == 1:
        return Left()
    return Right()


def count(n: i64) -> Iterator[i64]:
    at: i64 = 0
    try:
        while at < n & 3:
            if at == 2:
                return
            yield at
            at += 1
    finally:
        emit(-8)


def divide(a: i64, b: i64) -> tuple[i64, i64]:
    if b & 1 == 0:
        return a & 15, b & 15
    return b >> 3, a >> 3


def find(boxes: list[Box], wide: u64) -> Box | None:
    for box in boxes:
        if box.wide == wide:
            return box
    return None


def risky(n: i64) -> i64:
    if n & 7 == 1:
        raise Stop
    if n & 7 == 2:
        raise Halt
    if n & 7 == 3:
        raise OSError(errno.EIO)
    if n & 7 == 4:
        raise FileNotFoundError
    return n

'''
