# SPDX-License-Identifier: Apache-2.0
"""Annotations at run time: evaluation of their strings, and the qualifiers (`Guarded`, `Owned`, `Bits` …).

Modules are written with `from __future__ import annotations`, so annotations are strings, and names that are imported
only `if TYPE_CHECKING:` do not exist. Such a name evaluates to an `Unresolved` class: good enough for what needs no
layout.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True)
class Qualified:
    """`Guarded[T, "lock"]` and its kin, evaluated: what kind, of which type, with what argument."""

    kind: str
    inner: object
    argument: object = None

    def __or__(self, other: object) -> Qualified:
        return self

    __ror__ = __or__


class Qualifier:
    """The run-time value of `Guarded`, `Owned`…: subscripting it gives a Qualified."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.__name__ = kind

    def __getitem__(self, arguments: object) -> Qualified:
        if isinstance(arguments, tuple):
            inner, argument = cast("tuple[object, object]", arguments)
            return Qualified(self.kind, inner, argument)
        return Qualified(self.kind, arguments)

    def __repr__(self) -> str:
        return f"kaa.lang.{self.kind}"


class Unresolved:
    """Stands for a type whose name is only known to type checkers."""

    def __class_getitem__(cls, item: object) -> type[Unresolved]:
        return cls


class _Names(dict[str, object]):
    def __missing__(self, name: str) -> object:
        import builtins

        if hasattr(builtins, name):
            raise KeyError(name)
        return Unresolved


def evaluate(annotation: object, namespace: dict[str, object]) -> object:
    """The object an annotation names; already evaluated annotations are returned as they are."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, namespace)  # annotations are source code of the program itself
    except NameError:
        return eval(annotation, {}, _Names(namespace))


def strip_qualifiers(annotation: object) -> object:
    """Final[Guarded[u32, "lock"]] -> u32."""
    while True:
        if isinstance(annotation, Qualified):
            annotation = annotation.inner
        elif typing.get_origin(annotation) in (typing.Final, typing.ClassVar):
            annotation = typing.get_args(annotation)[0]
        else:
            return annotation
