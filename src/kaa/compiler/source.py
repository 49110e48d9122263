# SPDX-License-Identifier: Apache-2.0
"""Where a live function's syntax tree is, and what the names of its module mean.

The compiler starts from live objects (functions, classes), so a name is whatever CPython bound it to when the module
was imported; only `if TYPE_CHECKING:` imports, which CPython skips, are resolved here."""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, cast

from kaa.compiler.errors import CompileError

FunctionNode = ast.FunctionDef | ast.Lambda
COMPOUND = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)
"""Statements with statements in them, other than definitions."""


class Module:
    """One source file: its tree, its function definitions by line, its type-checking-only imports."""

    with_walrus: ClassVar[set[ast.AST]] = set()  # of all files: assignment expressions, and what they stand in

    def __init__(self, module: types.ModuleType) -> None:
        self.live = module
        self.name = module.__name__
        assert module.__file__ is not None
        self.filename = module.__file__
        text = Path(self.filename).read_text()
        self.tree = ast.parse(text, self.filename)
        if ":=" in text:
            _mark_walrus(self.tree, [n for n, line in enumerate(text.splitlines(), 1) if ":=" in line])
        self.functions: dict[tuple[int, str], ast.FunctionDef] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.annotations: dict[str, ast.expr] = {}
        self._deferred: dict[str, tuple[str, str | None]] = {}
        self._index(self.tree, "")

    def _index(self, tree: ast.AST, prefix: str) -> None:
        for node in _statements(tree):
            if isinstance(node, ast.FunctionDef):
                line = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                self.functions[line, node.name] = node
                self._index(node, prefix)
            elif isinstance(node, ast.ClassDef):
                self.classes[prefix + node.name] = node
                self._index(node, prefix + node.name + ".")
            elif isinstance(node, ast.If) and _is_type_checking(node.test):
                self._defer(node.body)
                for other in node.orelse:
                    self._index(other, prefix)
            elif isinstance(node, COMPOUND):
                self._index(node, prefix)
            elif isinstance(tree, ast.Module) and isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                self.annotations[node.target.id] = node.annotation

    def _defer(self, body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.ImportFrom):
                assert node.module is not None
                for alias in node.names:
                    self._deferred[alias.asname or alias.name] = (node.module, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self._deferred[alias.asname or alias.name.split(".")[0]] = (alias.name, None)

    def lookup(self, name: str) -> object:
        """The live object a global name stands for. Raises KeyError."""
        if name in self.live.__dict__:
            return self.live.__dict__[name]
        if name in self._deferred:
            return import_object(*self._deferred[name])
        return builtins.__dict__[name]


def _mark_walrus(node: ast.AST, lines: list[int]) -> bool:
    """Enters a node into Module.with_walrus if an assignment expression is in it; `lines` are those that have `:=`."""
    found = isinstance(node, ast.NamedExpr)
    for child in ast.iter_child_nodes(node):
        first: int = getattr(child, "lineno", 0)
        last: int = getattr(child, "end_lineno", None) or lines[-1]
        if any(first <= line <= last for line in lines) and _mark_walrus(child, lines):
            found = True
    if found:
        Module.with_walrus.add(node)
    return found


def _statements(node: ast.AST) -> list[ast.stmt]:
    """The statements directly inside a module, class, function or compound statement."""
    out: list[ast.stmt] = []
    for name in ("body", "orelse", "finalbody"):
        out += [s for s in getattr(node, name, ()) if isinstance(s, ast.stmt)]
    for inner in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        out += inner.body
    return out


def import_object(module: str, attribute: str | None) -> object:
    """What `from module import attribute` (or `import module`) binds."""
    live = importlib.import_module(module)
    if attribute is None:
        return sys.modules[module.split(".")[0]]
    if hasattr(live, attribute):
        return getattr(live, attribute)
    return importlib.import_module(f"{module}.{attribute}")


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


class Sources:
    """All modules looked at so far, by name."""

    def __init__(self) -> None:
        self._modules: dict[str, Module] = {}

    def module(self, name: str) -> Module:
        if name not in self._modules:
            self._modules[name] = Module(sys.modules[name])
        return self._modules[name]

    def modules(self) -> list[Module]:
        """All of them."""
        return list(self._modules.values())

    def tree(self, fn: Callable[..., Any]) -> ast.FunctionDef:
        """The definition of a live function. Raises CompileError if it has none in a file."""
        code = fn.__code__
        module = self.module(fn.__module__)
        node = module.functions.get((code.co_firstlineno, code.co_name))
        if node is None:
            raise CompileError(
                f"{fn.__qualname__} has no definition in {module.filename}", code.co_filename, line=code.co_firstlineno
            )
        return node


def unwrap(obj: object) -> object:
    """The plain function behind a method, staticmethod, classmethod, property or contextmanager wrapper."""
    if isinstance(obj, types.FunctionType):
        return getattr(obj, "__wrapped__", obj)
    if isinstance(obj, (staticmethod, classmethod)):
        bound: Any = cast(Any, obj)
        return unwrap(bound.__func__)
    if isinstance(obj, property):
        return unwrap(obj.fget)
    if isinstance(obj, types.MethodType):
        return unwrap(obj.__func__)
    return obj


def markers(fn: object) -> dict[str, Any]:
    """What kaa.lang's decorators recorded on a function or class."""
    return getattr(fn, "__kaa__", {})
