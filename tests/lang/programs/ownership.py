# SPDX-License-Identifier: Apache-2.0
"""Programs that were once compiled wrong: who keeps what alive, where views and places point.

Found by reading the ownership pass as an enemy would; each failed under the address sanitizer or differed from CPython.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kaa.lang import Array, Bytes, Guarded, copy, inline, struct, u8, u32, u64
from kaa.lang.testing import emit


class Item:
    value: int
    next: Item | None = None

    def __init__(self, value: int) -> None:
        self.value = value

    def __del__(self) -> None:
        emit(-self.value)


class Holder:
    item: Item
    spare: Item | None = None

    def __init__(self, item: Item) -> None:
        self.item = item


class Killer:
    holder: Holder
    other: Item
    value: int

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        self.other = Item(99)
        self.value = 40

    def __del__(self) -> None:
        self.holder.item = self.other


def early(holder: Holder) -> int:
    x = holder.item
    return Killer(holder).value + x.value


def case_temporary_whose_end_overwrites() -> None:
    holder = Holder(Item(1))
    emit(early(holder))
    emit(holder.item.value)


@struct
class Times:
    a: u32
    b: u32


class Owner:
    times: Times

    def __init__(self) -> None:
        self.times = Times(1, 2)

    def __del__(self) -> None:
        self.times.a = 77


def times() -> Times:
    o = Owner()
    return copy(o.times)


def times2() -> Times:
    o = Owner()
    o.times.a = 5
    return o.times


def case_returned_place() -> None:
    emit(times().a)
    emit(times2().b)


@struct
class Cursor:
    data: Bytes
    at: u32

    def peek(self) -> u8:
        return self.data[self.at]


def text(n: int) -> bytes:
    return bytes(b"abcdefgh"[: u64(n)])


def case_view_in_struct() -> None:
    c = Cursor(text(3)[:], 1)
    emit(c.peek())
    d = Cursor(b"", 0)
    d.data = text(4)[1:]
    other = text(5)
    emit(other[0])
    emit(d.peek())


def cursor(b: Bytes) -> Cursor:
    return Cursor(b, 2)


def case_view_in_returned_struct() -> None:
    c = cursor(text(6))
    emit(c.peek())


def fill(c: Cursor, b: Bytes) -> None:
    c.data = b


def case_view_stored_by_callee() -> None:
    c = Cursor(b"", 0)
    fill(c, text(7))
    emit(c.peek())


def loud(n: int) -> bytes:
    if n == 2:
        raise ValueError
    return bytes(b"abcdefgh"[: u64(n + 1)])


def case_kept_temporary_and_error() -> None:
    total = 0
    try:
        for n in range(4):
            view = loud(n)[:]
            total += view[0]
    except ValueError:
        emit(5)
    emit(total)


@inline
def inlined() -> int:
    item = Item(3)
    return item.value


def case_inline_locals_end() -> None:
    n = inlined()
    emit(n)
    emit(100)


def items() -> Iterator[int]:
    item = Item(4)
    yield item.value
    yield item.value + 1


def case_generator_locals_end() -> None:
    for n in items():
        emit(n)
    emit(100)


@struct
class Inner:
    x: u32


@struct
class Outer:
    inner: Inner
    n: u32


def case_struct_in_loop() -> None:
    s = Outer(Inner(7), 0)
    for i in range(3):
        s = Outer(copy(s.inner), u32(i))
        emit(s.inner.x)


class Base:
    item: Item

    def __init__(self) -> None:
        self.item = Item(1)


class Derived(Base):
    def __init__(self) -> None:
        self.item = Item(2)
        super().__init__()
        emit(50)


def case_base_init_overwrites() -> None:
    d = Derived()
    emit(d.item.value)


def case_selfassign() -> None:
    h = Holder(Item(8))
    h.item = h.item
    h.spare = h.item
    h.item, h.spare = Item(9), h.item
    emit(h.item.value)
    s = h.spare
    if s is not None:
        emit(s.value)


class Many:
    items: Array[Item | None, 3]

    def __init__(self) -> None:
        self.items = Array[Item | None, 3]()

    def reset(self) -> None:
        self.items = Array[Item | None, 3]()


def case_array_of_references_is_replaced() -> None:
    many = Many()
    many.items[0] = Item(1)
    many.items[1] = many.items[0]
    emit(100)
    many.reset()
    emit(101)


def narrowed() -> int:
    x: Item | None = Item(1)
    n = 0
    try:
        try:
            x = None
            x = other_or_raise(n)
        finally:
            emit(33 if x is None else 34)
    except ValueError:
        emit(35)
    return n


def other_or_raise(n: int) -> Item:
    if n == 0:
        raise ValueError
    return Item(n)


def case_what_was_known_before_try_is_not_known_in_finally() -> None:
    emit(narrowed())


class Tree:
    value: int = 0


class Leaf(Tree):
    leaf: int

    def __init__(self, value: int) -> None:
        self.leaf = value


class Box:
    tree: Tree

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def change(self) -> None:
        self.tree = Tree()


def trap_narrowed_class_is_checked_again() -> None:
    """traps: assert"""
    box = Box(Leaf(3))
    if isinstance(box.tree, Leaf):
        emit(box.tree.leaf)
        box.change()
        emit(box.tree.leaf)


class Lock:
    @contextmanager
    def read(self) -> Iterator[None]:
        emit(1000)
        try:
            yield
        finally:
            emit(1001)


class Shared:
    lock: Final[Lock]
    item: Guarded[Item, "lock"]

    def __init__(self) -> None:
        self.lock = Lock()
        self.item = Item(6)


def locked(shared: Shared) -> int:
    with shared.lock.read():
        item = shared.item
    shared.item = Item(7)
    emit(2)
    return item.value


def case_guarded_reference_outlives_the_lock() -> None:
    shared = Shared()
    emit(locked(shared))


class Phoenix:
    box: Nest

    def __init__(self, box: Nest) -> None:
        self.box = box

    def __del__(self) -> None:
        self.box.bird = self


class Nest:
    bird: Phoenix | None = None


def trap_object_stored_by_its_own_del() -> None:
    """traps: assert"""
    nest = Nest()
    Phoenix(nest)
    emit(1)
