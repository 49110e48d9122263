# SPDX-License-Identifier: Apache-2.0
"""Arguments: which goes to which parameter, as what type, and the type arguments they tell."""

from __future__ import annotations

import ast
from typing import Any

from kaa.compiler.ir import Const, Value, Var
from kaa.compiler.lower.bindings import has_walrus
from kaa.compiler.lower.operators import Operators
from kaa.compiler.lower.values import (
    CompileTime,
    GeneratorValue,
    LambdaValue,
    Live,
)
from kaa.compiler.program import REQUIRED, Param
from kaa.compiler.types import (
    I64,
    ArrayType,
    AtomicType,
    ClassType,
    FunctionType,
    IntVar,
    IteratorType,
    LitType,
    OptionalType,
    PtrType,
    SliceType,
    StructType,
    Type,
    TypeVarType,
    WeakType,
    generic,
    strip,
)

Arguments = list[tuple[str | None, ast.expr | Value]]


class ArgumentBinding(Operators):
    """Between a call's arguments and a function's parameters."""

    def _match(self, params: list[Param], arguments: Arguments, node: ast.AST) -> dict[str, ast.expr | Value]:
        """Which argument goes to which parameter."""
        out: dict[str, ast.expr | Value] = {}
        position = 0
        for name, value in arguments:
            if isinstance(value, ast.Starred):
                self.error("*arguments cannot be compiled", value)
            if name is None:
                if position >= len(params):
                    self.error(f"takes {len(params)} arguments, {len(arguments)} given", node)
                name = params[position].name
                position += 1
            elif all(p.name != name for p in params):
                self.error(f"there is no parameter '{name}'", node)
            if name in out:
                self.error(f"argument '{name}' is given twice", node)
            out[name] = value
        return out

    def bind(self, params: list[Param], arguments: Arguments, node: ast.AST) -> dict[str, Value]:
        """Evaluates arguments left to right, as the parameters' types."""
        matched = self._match(params, arguments, node)
        types = {p.name: p.type for p in params}
        out: dict[str, Value] = {}
        given = list(matched.values())
        for i, (name, a) in enumerate(matched.items(), 1):
            v = a if isinstance(a, Value) else self.expr(a, types[name])
            if isinstance(types[name], IteratorType):
                out[name] = v
                continue
            if isinstance(v, (LambdaValue, GeneratorValue)) or (
                isinstance(v, CompileTime) and isinstance(types[name], FunctionType) and isinstance(v, LambdaValue)
            ):
                out[name] = v
                continue
            where = a if isinstance(a, ast.AST) else node
            v = self.coerce(v, types[name], where, f"argument '{name}'")
            if isinstance(v, Var) and not v.temp and any(isinstance(x, ast.AST) and has_walrus(x) for x in given[i:]):
                v = self._settled(v, where, None)  # type: ignore[arg-type]
            out[name] = v
        for p in params:
            if p.name not in out:
                if p.default is REQUIRED:
                    self.error(f"argument '{p.name}' is missing", node)
                out[p.name] = self.coerce(self.from_live(p.default, "", None), p.type, node, f"default of '{p.name}'")
        return out

    def _bind_types(self, params: list[Param], matched: dict[str, Any], node: ast.AST) -> dict[object, Type]:
        """Type arguments from the arguments' types. Evaluates the arguments it needs, in order."""
        bound: dict[object, Type] = {}
        for p in params:
            if p.name in matched and not isinstance(matched[p.name], Value):
                v = self.expr(matched[p.name], None if generic(p.type) else p.type)
                if not isinstance(v, (Live, CompileTime)) or isinstance(v, Live):
                    v = self.materialise(v, matched[p.name]) if generic(p.type) and not isinstance(v, Const) else v
                matched[p.name] = v
            if p.name in matched:
                self._unify(p.type, matched[p.name].type, bound, matched[p.name], node)
        return bound

    def _unify(self, pattern: Type, have: Type, bound: dict[object, Type], value: Any, node: ast.AST) -> None:
        have = strip(have)
        if isinstance(pattern, TypeVarType):
            if isinstance(value, LambdaValue):
                return
            if isinstance(have, (LitType, IntVar)):
                have = self.default_int(have) if isinstance(have, IntVar) else I64
                if pattern.variable in bound:
                    return
            bound.setdefault(pattern.variable, have)
        elif isinstance(pattern, IteratorType):
            return
        elif isinstance(pattern, OptionalType):
            self._unify(pattern.inner, have.inner if isinstance(have, OptionalType) else have, bound, value, node)
        elif isinstance(pattern, (PtrType, SliceType, ArrayType, AtomicType)) and isinstance(have, type(pattern)):
            self._unify(pattern.element, have.element, bound, None, node)
        elif isinstance(pattern, (ClassType, StructType)) and isinstance(have, (ClassType, StructType)):
            for info in have.info.mro():
                if info.py is pattern.info.py:
                    for a, b in zip(pattern.info.args, info.args, strict=True):
                        self._unify(a, b, bound, None, node)
        elif isinstance(pattern, FunctionType) and isinstance(have, FunctionType):
            for a, b in zip((*pattern.params, pattern.result), (*have.params, have.result), strict=True):
                self._unify(a, b, bound, None, node)
        elif isinstance(pattern, WeakType) and isinstance(have, WeakType):
            self._unify(pattern.inner, have.inner, bound, None, node)
