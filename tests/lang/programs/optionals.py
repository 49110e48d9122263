# SPDX-License-Identifier: Apache-2.0
"""X | None: narrowing of locals and of attribute paths, and the trap when None is used."""

from __future__ import annotations

from kaa.lang.testing import emit


class Node:
    value: int
    next: Node | None = None

    def __init__(self, value: int, next: Node | None = None) -> None:
        self.value = value
        self.next = next


class List:
    head: Node | None = None
    tail: Node | None = None

    def push(self, value: int) -> None:
        self.head = Node(value, self.head)
        if self.tail is None:
            self.tail = self.head

    def pop(self) -> Node | None:
        node = self.head
        if node is None:
            return None
        self.head = node.next
        node.next = None
        if self.head is None:
            self.tail = None
        return node


def find(head: Node | None, wanted: int) -> Node | None:
    while head is not None and head.value != wanted:
        head = head.next
    return head


def case_walk() -> None:
    xs = List()
    for n in range(4):
        xs.push(n)
    node = xs.head
    while node:
        emit(node.value)
        node = node.next
    found = find(xs.head, 2)
    emit(found.value if found is not None else -1)
    emit(int(find(xs.head, 9) is None))


def case_narrowing_of_paths() -> None:
    xs = List()
    if xs.head is None:
        emit(1)
    xs.push(5)
    if xs.head is not None and xs.head.next is None:
        emit(xs.head.value)
    assert xs.tail is not None
    emit(xs.tail.value)
    if xs.head is None or xs.head.value == 5:
        emit(2)


def case_pop_until_none() -> None:
    xs = List()
    for n in range(3):
        xs.push(n)
    while (node := xs.pop()) is not None:
        emit(node.value)
    emit(int(xs.tail is None))


def case_or_else() -> None:
    head: Node | None = None
    fallback = Node(9)
    chosen = head if head is not None else fallback
    emit(chosen.value)
    head = Node(1)
    chosen = head if head is not None else fallback
    emit(chosen.value)


def case_early_return_narrows() -> None:
    emit(value_or(None, 4))
    emit(value_or(Node(6), 4))


def value_or(node: Node | None, default: int) -> int:
    if not node:
        return default
    return node.value


def case_continue_narrows() -> None:
    for n in range(4):
        node = Node(n) if n % 2 == 1 else None
        if node is None:
            continue
        emit(node.value)


def trap_assert_not_none() -> None:
    """traps: assert"""
    node = find(Node(1), 2)
    assert node is not None
    emit(node.value)


class Holder:
    node: Node | None = None

    def drop(self) -> None:
        self.node = None


def trap_narrowed_path_changed() -> None:
    """traps: none"""
    holder = Holder()
    holder.node = Node(1)
    if holder.node is not None:
        holder.drop()
        emit(holder.node.value)
