# SPDX-License-Identifier: Apache-2.0
"""Reference counts: when __del__ runs, what weak references see, chains, and that nothing leaks.

A local is released between its last use and the end of its life in Python (`del`, reassignment, return): the cases
use each object right before that, so that the two agree.
"""

from __future__ import annotations

import weakref

from kaa.lang import Array, copy, struct, u32
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


def give(item: Item) -> Item:
    return item


def make(value: int) -> Item:
    return Item(value)


def case_del_statement() -> None:
    item = Item(1)
    emit(item.value)
    del item
    emit(100)


def case_reassignment() -> None:
    item = Item(1)
    item = Item(2)
    emit(100)
    item = item
    item = give(item)
    emit(item.value)


def case_end_of_function() -> None:
    scope()
    emit(100)


def scope() -> None:
    item = Item(3)
    emit(item.value)


def case_fields() -> None:
    holder = Holder(Item(1))
    holder.item = Item(2)
    emit(100)
    holder.spare = holder.item
    holder.item = Item(3)
    emit(101)
    holder.spare = None
    emit(102)
    del holder
    emit(103)


def case_temporaries() -> None:
    emit(make(4).value)
    emit(100)
    make(5)
    emit(101)
    emit(give(give(make(6))).value)


def case_parameters_reassigned() -> None:
    item = Item(1)
    emit(replace(item))
    emit(item.value)


def replace(item: Item) -> int:
    item = Item(7)
    return item.value


def case_swap() -> None:
    a, b = Item(1), Item(2)
    a, b = b, a
    emit(a.value * 10 + b.value)
    del a
    emit(100)
    del b


def case_loops_release() -> None:
    for n in range(3):
        item = Item(n + 1)
        emit(item.value * 10)
    emit(100)


def case_conditional_assignment() -> None:
    for n in range(3):
        item: Item | None = None
        if n == 1:
            item = Item(1)
        emit(n * 10)
        emit(item.value if item is not None else 50)
        item = None
    emit(100)


def case_chain_is_dropped_without_recursion() -> None:
    head: Node | None = None
    for n in range(5000):
        head = Node(head)
    emit(1)
    head = None
    emit(2)


class Node:
    next: Node | None

    def __init__(self, next: Node | None) -> None:
        self.next = next


def case_weak_references() -> None:
    item = Item(1)
    weak = weakref.ref(item)
    strong = weak()
    if strong is not None:
        emit(strong.value)
    del strong
    del item
    emit(int(weak() is None))


class Parent:
    child: Child | None = None

    def __del__(self) -> None:
        emit(-1)


class Child:
    parent: weakref.ref[Parent]

    def __init__(self, parent: Parent) -> None:
        self.parent = weakref.ref(parent)

    def is_orphan(self) -> bool:
        return self.parent() is None

    def __del__(self) -> None:
        emit(-2)


def case_back_pointers() -> None:
    parent = Parent()
    child = Child(parent)
    parent.child = child
    emit(int(child.is_orphan()))
    del parent
    emit(int(child.is_orphan()))


class Base:
    item: Item

    def __init__(self) -> None:
        self.item = Item(1)

    def __del__(self) -> None:
        emit(-10)


class Derived(Base):
    other: Item

    def __init__(self) -> None:
        super().__init__()
        self.other = Item(2)

    def __del__(self) -> None:
        emit(-20)
        super().__del__()


def case_inherited_del() -> None:
    made: Base = Derived()
    emit(made.item.value)
    del made
    emit(100)


def borrow(holder: Holder) -> int:
    item = holder.item
    holder.item = Item(9)
    return item.value


def case_borrowed_local_survives_its_field() -> None:
    holder = Holder(Item(8))
    emit(borrow(holder))


def clear(items: list[Item]) -> int:
    first = items[0]
    items.clear()
    emit(100)
    return first.value


def case_borrowed_element_survives_its_list() -> None:
    emit(clear([Item(1)]))


def during(holder: Holder, item: Item) -> int:
    holder.item = Item(5)
    return item.value


def case_argument_survives_the_callee() -> None:
    holder = Holder(Item(4))
    emit(during(holder, holder.item))


def case_loop_element_survives_removal() -> None:
    items = [Item(1), Item(2)]
    for item in items:
        if item.value == 1:
            items.pop()
            items[0] = Item(3)
        emit(item.value)


@struct
class Times:
    a: u32
    b: u32


class Owner:
    times: Times
    many: Array[Item | None, 3]

    def __init__(self) -> None:
        self.times = Times(1, 2)
        self.many = Array[Item | None, 3]()


def case_place_keeps_its_owner() -> None:
    times = Owner().times
    emit(times.a)
    kept = copy(times)
    kept.b = 7
    emit(times.b)


def case_array_of_references_is_released() -> None:
    owner = Owner()
    owner.many[0] = Item(1)
    owner.many[2] = Item(3)
    owner.many[0] = owner.many[2]
    emit(100)
    owner.many[2] = None
    emit(101)
    del owner
    emit(102)


def case_tuple_of_references() -> None:
    a, b = two()
    emit(a.value * 10 + b.value)
    del b
    emit(100)
    del a
    emit(101)


def two() -> tuple[Item, Item]:
    return Item(1), Item(2)
