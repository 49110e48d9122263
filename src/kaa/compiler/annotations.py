# SPDX-License-Identifier: Apache-2.0
"""What annotations mean: from the syntax tree of a type to a Type, and what a field says about sharing."""

from __future__ import annotations

import ast
import collections
import collections.abc
import enum
import typing
import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import kaa.lang as lang
from kaa.compiler.errors import CompileError
from kaa.compiler.source import Module
from kaa.compiler.types import (
    BOOL,
    BYTES,
    I64,
    NEVER,
    STR,
    TRAMPOLINE,
    VIEW,
    VOID,
    ArrayType,
    AtomicType,
    BitsType,
    FunctionType,
    IntType,
    IteratorType,
    OptionalType,
    PtrType,
    SliceType,
    TupleType,
    Type,
    TypeVarType,
    VoidType,
    WeakType,
    can_be_none,
)
from kaa.lang import unsafe

if TYPE_CHECKING:
    from kaa.compiler.program import Program

SHARING: dict[Any, str] = {
    typing.Final: "Final",
    lang.Guarded: "Guarded",
    lang.Rcu: "Rcu",
    lang.PerCpu: "PerCpu",
    lang.Owned: "Owned",
    lang.Relaxed: "Relaxed",
    lang.Once: "Once",
    unsafe.Unowned: "Unowned",
}


SIMPLE: dict[type[Any], Type] = {int: I64, bool: BOOL, bytes: BYTES, str: STR, lang.Trampoline: TRAMPOLINE}
CALLABLE: tuple[Any, ...] = (vars(collections.abc)["Callable"], vars(typing)["Callable"])  # pyright knows but part


@dataclass
class FieldType:
    """A field's annotation: its type and its protection."""

    type: Type
    protection: str = ""
    lock: str = ""
    unowned: bool = False
    relaxed: bool = False
    once: bool = False


class Annotations:
    """Resolves annotations of one program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._plain: dict[type[Any], Type | None] = {}  # classes without type parameters

    def field(self, node: ast.expr, module: Module, typevars: dict[object, Type]) -> FieldType:
        """The annotation of a field: sharing wrappers are peeled off and recorded."""
        node = _parsed(node, module)
        if isinstance(node, ast.Subscript):
            base = self.live(node.value, module)
            kind = SHARING.get(base) if isinstance(base, collections.abc.Hashable) else None
            if kind is not None:
                parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
                lock = ""
                if len(parts) > 1 and isinstance(parts[1], ast.Constant):
                    lock = str(parts[1].value)
                inner = self.field(parts[0], module, typevars)
                if kind == "Relaxed":
                    return replace(inner, relaxed=True)
                if kind == "Once":
                    return replace(inner, once=True)
                protection = kind if inner.protection in ("", "Unowned") else inner.protection
                unowned = inner.unowned or kind == "Unowned"
                return FieldType(inner.type, protection, inner.lock or lock, unowned, inner.relaxed, inner.once)
        return FieldType(self.resolve(node, module, typevars))

    def is_classvar(self, node: ast.expr, module: Module) -> bool:
        node = _parsed(node, module)
        base = node.value if isinstance(node, ast.Subscript) else node
        return isinstance(base, (ast.Name, ast.Attribute)) and self.live(base, module) is typing.ClassVar

    def live(self, node: ast.expr, module: Module) -> Any:
        """The live object that a (dotted) name in an annotation stands for."""
        if isinstance(node, ast.Name):
            try:
                return module.lookup(node.id)
            except KeyError:
                raise CompileError(f"name '{node.id}' is not defined", module.filename, node) from None
        if isinstance(node, ast.Attribute):
            base = self.live(node.value, module)
            try:
                return getattr(base, node.attr)
            except AttributeError:
                raise CompileError(f"{ast.unparse(node.value)} has no '{node.attr}'", module.filename, node) from None
        if isinstance(node, ast.Constant):
            return node.value
        raise CompileError("this is not a type the compiler knows", module.filename, node)

    def resolve(self, node: ast.expr, module: Module, typevars: dict[object, Type]) -> Type:
        """The type an annotation denotes. Raises CompileError."""
        node = _parsed(node, module)
        if isinstance(node, ast.Constant) and node.value is None:
            return VOID
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._union(node, module, typevars)
        if isinstance(node, ast.Subscript):
            return self._subscript(node, module, typevars)
        live = self.live(node, module)
        found = self.of_live(live, typevars)
        if found is None:
            raise CompileError(f"'{ast.unparse(node)}' is not a type the compiler knows", module.filename, node)
        return found

    def _union(self, node: ast.BinOp, module: Module, typevars: dict[object, Type]) -> Type:
        left, right = (self.resolve(n, module, typevars) for n in (node.left, node.right))
        if isinstance(left, VoidType):
            left, right = right, left
        if not isinstance(right, VoidType):
            raise CompileError("the only union is with None: X | None", module.filename, node)
        if isinstance(left, OptionalType):
            return left
        if not can_be_none(left) and not isinstance(left, TypeVarType):
            raise CompileError(f"{left} has no None; use a value that means 'none', or a class", module.filename, node)
        return OptionalType(left)

    def of_live(self, live: Any, typevars: dict[object, Type]) -> Type | None:
        """The type a live object stands for when it is used as a type."""
        if isinstance(live, typing.TypeVar):
            return typevars.get(live, TypeVarType(live))
        if live is None:
            return VOID
        if live in (typing.NoReturn, typing.Never):
            return NEVER
        if live is lang.Bytes:
            return VIEW
        if isinstance(live, typing.NewType):
            return self.of_live(live.__supertype__, typevars)
        if not isinstance(live, type):
            return None
        if live in self._plain:
            return self._plain[live]
        found = self._of_class(live, typevars)
        if not getattr(live, "__parameters__", ()):
            self._plain[live] = found
        return found

    def _of_class(self, live: type[Any], typevars: dict[object, Type]) -> Type | None:
        if self.program.container(live) is not None:
            return None
        width = live.__dict__.get("__kaa_int__")
        if width is not None:
            return IntType(*width)
        simple = SIMPLE.get(live)
        if simple is not None:
            return simple
        if issubclass(live, enum.Enum):
            width = getattr(live, "__kaa_width__", None)
            return IntType(*width.__kaa_int__) if width is not None else I64
        if live.__module__ in ("builtins", "typing") or issubclass(live, BaseException):
            return None
        args = tuple(typevars.get(v, TypeVarType(v)) for v in getattr(live, "__parameters__", ()))
        return self.program.class_info(live, args).type

    def _subscript(self, node: ast.Subscript, module: Module, typevars: dict[object, Type]) -> Type:
        base = self.live(node.value, module)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if base in (typing.Annotated, *SHARING):
            return self.resolve(parts[0], module, typevars)
        if base in CALLABLE:
            params = parts[0].elts if isinstance(parts[0], ast.List) else []
            return FunctionType(
                tuple(self.resolve(p, module, typevars) for p in params), self.resolve(parts[1], module, typevars)
            )
        if base is typing.Optional:
            return OptionalType(self.resolve(parts[0], module, typevars))
        if base is tuple:
            return TupleType(tuple(self.resolve(p, module, typevars) for p in parts))
        if base is lang.Array:
            return ArrayType(self.resolve(parts[0], module, typevars), self.constant(parts[1], module))
        if base is lang.Bits:
            element = self.resolve(parts[0], module, typevars)
            assert isinstance(element, IntType)
            return BitsType(element, self.constant(parts[1], module))
        args = tuple(self.resolve(p, module, typevars) for p in parts)
        made = self.generic(base, args)
        if made is None:
            raise CompileError(f"'{ast.unparse(node)}' is not a type the compiler knows", module.filename, node)
        return made

    def generic(self, base: Any, args: tuple[Type, ...]) -> Type | None:
        """The type `base[args]`."""
        if base in (collections.abc.Iterator, collections.abc.Iterable, collections.abc.Generator):
            return IteratorType(args[0])
        if base is lang.Slice:
            return SliceType(args[0])
        if base is lang.Atomic:
            return AtomicType(args[0])
        if base is unsafe.Ptr:
            return PtrType(args[0])
        if base is weakref.ref:
            return WeakType(args[0])
        if base is unsafe.Lookup:
            return VIEW if args[0] == BYTES else args[0]
        container = self.program.container(base)
        if container is not None:
            return self.program.class_info(container, args).type
        if isinstance(base, type) and typing.Generic in base.__mro__:
            return self.program.class_info(base, args).type
        return None

    def constant(self, node: ast.expr, module: Module) -> int:
        """An integer constant expression in an annotation (an array's length)."""
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        try:
            code = compile(ast.Expression(node), module.filename, "eval")
            return int(eval(code, module.live.__dict__))  # noqa: S307 - the program's own constants
        except Exception as error:
            raise CompileError(f"not a constant: {error}", module.filename, node) from None


def _parsed(node: ast.expr, module: Module) -> ast.expr:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        parsed = ast.parse(node.value, mode="eval").body
        return ast.copy_location(parsed, node)
    return node
