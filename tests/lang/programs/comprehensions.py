# SPDX-License-Identifier: Apache-2.0
"""List comprehensions and the built-in functions that consume generators."""

from __future__ import annotations

from kaa.lang import u8, u32
from kaa.lang.testing import emit

NAMES = [b"one", b"two", b"three"]


class Item:
    value: int

    def __init__(self, value: int) -> None:
        self.value = value


def case_list_comprehensions() -> None:
    xs = [n * n for n in range(6) if n % 2 == 1]
    for x in xs:
        emit(x)
    ys = [x + y for x in xs for y in (1, 2)]
    for y in ys:
        emit(y)
    lengths = [len(name) for name in NAMES]
    emit(int(lengths[2]))
    items = [Item(n) for n in range(3)]
    emit(items[2].value)
    emit(int(len([item for item in items if item.value > 0])))


def case_any_all_sum() -> None:
    xs = [1, 5, 9]
    emit(int(any(x > 8 for x in xs)))
    emit(int(any(x > 9 for x in xs)))
    emit(int(all(x > 0 for x in xs)))
    emit(int(all(x > 1 for x in xs)))
    emit(sum(x * 2 for x in xs))
    emit(sum(xs))
    emit(int(sum(len(name) for name in NAMES)))
    empty: list[int] = []
    emit(sum(empty))
    emit(int(all(x > 1 for x in empty)))


def case_widths() -> None:
    bytes_of = [u8(n) for n in (1, 200, 255)]
    total: u32 = 0
    for b in bytes_of:
        total += b
    emit(total)
    emit(max(bytes_of[0], bytes_of[1]))


def case_comprehension_variable_does_not_leak() -> None:
    n = 50
    xs = [n for n in range(3)]
    emit(n)
    emit(xs[2])
