# SPDX-License-Identifier: Apache-2.0
"""Statements: the dispatch, and the simple ones; the others are in the classes this one extends."""

from __future__ import annotations

import ast

from kaa.compiler import ir
from kaa.compiler.ir import Const, Var
from kaa.compiler.lower.protection import Protection
from kaa.compiler.lower.values import CompileTime, GeneratorValue, Live, TupleValue
from kaa.compiler.types import NONE, IntVar, LitType


class Statements(Protection):
    """One method per kind of statement."""

    def statements(self, body: list[ast.stmt]) -> None:
        for stmt in body:
            self.statement(stmt)

    def statement(self, node: ast.stmt) -> None:
        self.line = node.lineno
        method = getattr(self, "stmt_" + type(node).__name__, None)
        if method is None:
            self.error(f"{_plain(node)} cannot be compiled", node)
        method(node)
        self.end_statement()

    def stmt_Pass(self, node: ast.Pass) -> None:
        pass

    def stmt_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(node.value, ast.Yield):
            self._yield(node.value)
        elif isinstance(node.value, ast.YieldFrom):
            self._yield_from(node.value)
        else:
            v = self.expr(node.value)
            if isinstance(v, GeneratorValue):
                self.error("a generator that nobody consumes does nothing", node)

    def stmt_Import(self, node: ast.Import) -> None:
        from kaa.compiler.source import import_object

        for alias in node.names:
            self.frame.names[alias.asname or alias.name.split(".")[0]] = Live(
                import_object(alias.name, None)
                if not alias.asname
                else __import__("importlib").import_module(alias.name)
            )

    def stmt_ImportFrom(self, node: ast.ImportFrom) -> None:
        from kaa.compiler.source import import_object

        assert node.module is not None
        module = __import__("importlib").import_module(node.module)
        for alias in node.names:
            obj = import_object(node.module, alias.name)
            self.frame.names[alias.asname or alias.name] = self.from_live(obj, alias.name, module)

    def stmt_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                v = self.frame.names.pop(target.id, None)
                if isinstance(v, Var):
                    self.emit(ir.Drop(v))
            elif isinstance(target, ast.Subscript):
                base = self.value(target.value)
                if isinstance(target.slice, ast.Slice):
                    self.error("a slice cannot be deleted", node)
                self.call_dunder(base, "__delitem__", [target.slice], node)
            else:
                self.error("this cannot be deleted", node)

    # ---- generators --------------------------------------------------------------------------------------------------

    def _yield(self, node: ast.Yield) -> None:
        if self.frame.on_yield is None:
            self.error("yield outside a generator", node)
        value = self.expr(node.value) if node.value is not None else Const(NONE, None)
        if not isinstance(value, CompileTime) or isinstance(value, (TupleValue, Live)):
            value = self.materialise(value, node)
        if isinstance(value, Const) and isinstance(value.type, LitType):
            value = Const(IntVar(), value.value)
        self.frame.on_yield(value, node)

    def _yield_from(self, node: ast.YieldFrom) -> None:
        on_yield = self.frame.on_yield
        if on_yield is None:
            self.error("yield outside a generator", node)
        self.iterate(self.expr(node.value), lambda v: on_yield(v, node), node)


def _plain(node: ast.AST) -> str:
    return {
        "FunctionDef": "a nested function", "ClassDef": "a nested class", "Global": "global", "Nonlocal": "nonlocal",
        "AsyncFunctionDef": "async",
    }.get(type(node).__name__, type(node).__name__)  # fmt: skip
