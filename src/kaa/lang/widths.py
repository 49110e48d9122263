# SPDX-License-Identifier: Apache-2.0
"""What width has an operand, under CPython, where a parameter `x: u32` holds a plain int?

The compiler knows the type of every expression; CPython only knows values. `width_at_call` looks at the call
expression in the source of the function that is running (PEP 657 positions) and reads the type of its operands from
annotations, conversions and assignments of that function. What it cannot tell it refuses, with the advice to convert:
a helper must not guess, for then CPython and native code would differ.
"""

from __future__ import annotations

import ast
import linecache
import sys
from functools import cache
from types import CodeType, FrameType
from typing import Any, cast

from kaa.lang.annotations import evaluate, strip_qualifiers
from kaa.lang.integers import i64, width_of

_WRAPPING = ("wrapping_add", "wrapping_sub", "wrapping_mul")
_CALLS_OF_FIRST_OPERAND = (*_WRAPPING, "rotate_left", "byteswap", "abs", "min", "max")


_known: dict[tuple[CodeType, int], type] = {}
"""Calls whose operand's type has been found: an expression has one type (but for generics, which have one width in
practice).
"""


def width_at_call(depth: int, values: tuple[int, ...]) -> type:
    """The integer type of the first typed argument of the call that frame `depth` above is executing."""
    frame = sys._getframe(depth)  # pyright: ignore[reportPrivateUsage]
    where = (frame.f_code, frame.f_lasti)
    if where not in _known:
        _known[where] = _width_in(frame, values)
    return _known[where]


def _width_in(frame: FrameType, values: tuple[int, ...]) -> type:
    call = _call_node(frame.f_code, frame.f_lasti)
    for argument in call.args if call is not None else []:
        found = _Inference(frame).type_of(argument)
        if found is not None:
            return found
    for value in values:
        if _integer_type(type(value)) not in (None, i64):
            return type(value)
    raise TypeError("the operand's width is not known under CPython: write the conversion, e.g. u32(x)")


@cache
def _module_tree(filename: str) -> ast.Module:
    return ast.parse("".join(linecache.getlines(filename)))


@cache
def _call_node(code: CodeType, instruction: int) -> ast.Call | None:
    """The ast.Call at a bytecode offset."""
    position = list(code.co_positions())[instruction // 2]
    for node in ast.walk(_module_tree(code.co_filename)):
        if isinstance(node, ast.Call):
            if (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset) == position:
                return node
    return None


@cache
def _function_node(code: CodeType) -> ast.FunctionDef | ast.Lambda | None:
    for node in ast.walk(_module_tree(code.co_filename)):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    return None


class _Inference:
    """Types of expressions in one running function."""

    def __init__(self, frame: FrameType) -> None:
        self.frame = frame
        self.busy: set[str] = set()

    def type_of(self, node: ast.expr) -> type | None:
        method = getattr(self, "_" + type(node).__name__, None)
        return method(node) if method is not None else None

    def _annotation(self, node: ast.expr) -> type | None:
        return _integer_type(evaluate(ast.unparse(node), self.frame.f_globals))

    def _Name(self, node: ast.Name) -> type | None:
        value: object = self.frame.f_locals.get(node.id)
        kind: type[object] = type(value)
        if kind is not int and _integer_type(kind) not in (None, i64):
            return kind
        function = _function_node(self.frame.f_code)
        if function is None or node.id in self.busy:
            return None
        self.busy.add(node.id)
        try:
            return self._declared(function, node.id)
        finally:
            self.busy.discard(node.id)

    def _declared(self, function: ast.FunctionDef | ast.Lambda, name: str) -> type | None:
        for argument in function.args.args + function.args.kwonlyargs:
            if argument.arg == name and argument.annotation is not None:
                return self._annotation(argument.annotation)
        return self._assigned(function, name)

    def _assigned(self, function: ast.AST, name: str) -> type | None:
        for node in ast.walk(function):
            found: type | None = None
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
                found = self._annotation(node.annotation)
            elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
                found = self.type_of(node.value)
            elif isinstance(node, ast.For) and isinstance(node.target, ast.Name) and node.target.id == name:
                found = self._element(node.iter)
            if found is not None:
                return found
        return None

    def _Attribute(self, node: ast.Attribute) -> type | None:
        try:
            owner = eval(ast.unparse(node.value), self.frame.f_globals, self.frame.f_locals)  # a name path: no effects
        except Exception:  # what cannot be evaluated has no known type
            return None
        for cls in type(owner).__mro__:
            if node.attr in cls.__dict__.get("__annotations__", {}):
                spec = cls.__dict__["__annotations__"][node.attr]
                return _integer_type(evaluate(spec, vars(sys.modules[cls.__module__])))
        return None

    def _Call(self, node: ast.Call) -> type | None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _CALLS_OF_FIRST_OPERAND:
            return next((t for t in map(self.type_of, node.args) if t is not None), None)
        try:
            target: Any = eval(ast.unparse(node.func), self.frame.f_globals, self.frame.f_locals)
        except Exception:
            return None
        if isinstance(target, type):
            return _integer_type(cast("type[object]", target))
        returns = getattr(target, "__annotations__", {}).get("return")
        return _integer_type(evaluate(returns, getattr(target, "__globals__", {}))) if returns else None

    def _BinOp(self, node: ast.BinOp) -> type | None:
        sides = [self.type_of(node.left)]
        if not isinstance(node.op, (ast.LShift, ast.RShift)):
            sides.append(self.type_of(node.right))
        known = [side for side in sides if side is not None]
        return max(known, key=lambda t: t.__kaa_int__[0]) if known else None  # type: ignore[attr-defined]

    def _UnaryOp(self, node: ast.UnaryOp) -> type | None:
        return self.type_of(node.operand)

    def _IfExp(self, node: ast.IfExp) -> type | None:
        return self.type_of(node.body) or self.type_of(node.orelse)

    def _NamedExpr(self, node: ast.NamedExpr) -> type | None:
        return self.type_of(node.value)

    def _Subscript(self, node: ast.Subscript) -> type | None:
        return self._element(node.value)

    def _element(self, sequence: ast.expr) -> type | None:
        """The element type of a sequence expression, from the live object."""
        if not isinstance(sequence, (ast.Name, ast.Attribute)):
            return None
        try:
            live = eval(ast.unparse(sequence), self.frame.f_globals, self.frame.f_locals)
        except Exception:
            return None
        if isinstance(live, (bytes, bytearray, memoryview)):
            from kaa.lang.integers import u8

            return u8
        return _integer_type(getattr(live, "__kaa_element__", None))


def _integer_type(annotation: object) -> type | None:
    annotation = strip_qualifiers(annotation)
    width = getattr(annotation, "__kaa_width__", annotation)
    if getattr(width, "__kaa_int__", None) is not None:
        return width  # type: ignore[return-value]
    return i64 if width_of(annotation) is not None else None
