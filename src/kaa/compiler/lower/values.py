# SPDX-License-Identifier: Apache-2.0
"""What an expression can be besides a run-time value: things the compiler knows or expands."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kaa.compiler.ir import Value
from kaa.compiler.types import NEVER, TupleType, Type

if TYPE_CHECKING:
    from kaa.compiler.classes import ClassInfo
    from kaa.compiler.lower.frame import Frame


class CompileTime(Value):
    """Base: a value that exists only while compiling."""

    type: Type = NEVER
    what = "this"


@dataclass
class Live(CompileTime):
    """A live Python object: a function, class, module, or frozen object not yet given a run-time form."""

    obj: Any
    hint: Type | None = None  # the declared type of the module-level name it came from
    symbol: str = ""
    typed: Type | None = None  # for a class with type arguments (`Ptr[u64]`): the type it is

    @property
    def what(self) -> str:  # type: ignore[override]
        return getattr(self.obj, "__qualname__", None) or repr(self.obj)[:60]


def live_items(value: Value) -> tuple[Any, ...] | None:
    """The items of a live tuple, None for anything else."""
    obj: Any = value.obj if isinstance(value, Live) else None
    return cast("tuple[Any, ...]", obj) if isinstance(obj, tuple) else None


@dataclass
class TupleValue(CompileTime):
    """Several values."""

    values: list[Value]

    @property
    def type(self) -> Type:  # type: ignore[override]
        return TupleType(tuple(v.type for v in self.values))


@dataclass
class LambdaValue(CompileTime):
    """A lambda, with the frame it was written in."""

    node: ast.Lambda
    frame: Frame
    expanding: list[Any]  # the functions that were being expanded where it was written
    what = "a lambda (it may only be passed to an @inline function)"


@dataclass
class BoundMethod(CompileTime):
    """obj.method, not called yet."""

    receiver: Value
    py: Any
    owner: ClassInfo
    virtual: bool = True

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"method {self.py.__qualname__} (it must be called)"


@dataclass
class GeneratorValue(CompileTime):
    """A call of a generator function, to be expanded by the `for` (or `with`) that consumes it."""

    py: Any
    owner: ClassInfo | None
    typevars: dict[object, Type]
    arguments: dict[str, Value]
    node: ast.AST
    what = "a generator (it must be consumed by a for)"


@dataclass
class ComprehensionValue(CompileTime):
    """A generator expression."""

    node: ast.GeneratorExp
    frame: Frame
    what = "a generator expression (only for any, all, sum, min, max)"


@dataclass
class IterValue(CompileTime):
    """range(…), enumerate(…), reversed(…), zip(…): consumed by a for."""

    kind: str
    arguments: list[Value]
    what = "an iterator (it must be consumed by a for)"


@dataclass
class ErrorValue(CompileTime):
    """The `e` of `except OSError as e`."""

    code: Value
    what = "an exception (only e.errno can be read)"


@dataclass
class BuiltinMethod(CompileTime):
    """A method of a built-in type: bytes.find, Ptr.take, Atomic.load …"""

    receiver: Value
    name: str

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"method {self.name} (it must be called)"


@dataclass
class SuperValue(CompileTime):
    """super()."""

    receiver: Value
    base: ClassInfo
    what = "super()"
