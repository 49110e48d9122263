# SPDX-License-Identifier: Apache-2.0
"""The scope of one function body being lowered: the function itself, or one that is expanded inside it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from kaa.compiler.ir import Block, Value, Var
from kaa.compiler.source import Module
from kaa.compiler.types import Type

if TYPE_CHECKING:
    from kaa.compiler.classes import ClassInfo


@dataclass
class Loop:
    """Where break and continue go, and how many clean-ups were open at the loop."""

    on_break: Block
    on_continue: Block
    break_depth: int
    continue_depth: int


@dataclass
class Frame:
    """Names and ways out of one body."""

    module: Module
    filename: str
    typevars: dict[object, Type]
    owner: ClassInfo | None
    node: ast.FunctionDef | ast.Lambda
    path: tuple[int, ...]  # where it is expanded: identifies its variables across restarts
    names: dict[str, Value] = field(default_factory=dict[str, Value])
    assigned: frozenset[str] | set[str] = field(default_factory=frozenset[str])
    loops: list[Loop] = field(default_factory=list[Loop])
    errors: list[Value] = field(default_factory=list[Value])  # what a bare raise raises
    result_type: Type | None = None
    result_value: Value | None = None
    result_vars: list[Var] | None = None
    result_block: Block | None = None  # None: really return
    result_depth: int = 0
    result_used: bool = False
    on_yield: Callable[[Value, ast.AST], None] | None = None
    parent: Frame | None = None  # a lambda sees the names of the frame it was written in
    self_value: Value | None = None

    def find(self, name: str) -> Frame | None:
        """The frame (this or an enclosing one) where `name` is a local."""
        frame: Frame | None = self
        while frame is not None:
            if name in frame.assigned or name in frame.names:
                return frame
            frame = frame.parent
        return None


_assigned: dict[ast.AST, frozenset[str]] = {}
_walrus: dict[ast.AST, bool] = {}
_calls: dict[ast.AST, bool] = {}


def has_walrus(node: ast.AST) -> bool:
    """True if an expression assigns a name."""
    if not Module.any_walrus:
        return False
    if node not in _walrus:
        _walrus[node] = isinstance(node, ast.NamedExpr) or any(has_walrus(n) for n in ast.iter_child_nodes(node))
    return _walrus[node]


def has_call(node: ast.AST) -> bool:
    """True if a statement calls something."""
    if node not in _calls:
        _calls[node] = isinstance(node, ast.Call) or any(has_call(n) for n in ast.iter_child_nodes(node))
    return _calls[node]


def assigned_names(node: ast.AST) -> frozenset[str]:
    """Names that a function body binds (not in nested functions; comprehension targets are apart)."""
    if node not in _assigned:
        _assigned[node] = frozenset(_bound(node))
    return _assigned[node]


def _bound(node: ast.AST) -> set[str]:
    out: set[str] = set()
    stack: list[ast.AST] = (
        list(ast.iter_child_nodes(node)) if isinstance(node, (ast.FunctionDef, ast.Lambda)) else [node]
    )
    if isinstance(node, ast.Lambda):
        stack = [node.body]
    if isinstance(node, ast.FunctionDef):
        stack = list(node.body)
    while stack:
        n = stack.pop()
        if isinstance(n, ast.Name) and isinstance(n.ctx, (ast.Store, ast.Del)):
            out.add(n.id)
        elif isinstance(
            n, (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)
        ):
            if isinstance(n, (ast.FunctionDef, ast.ClassDef)):
                out.add(n.name)
            continue
        elif isinstance(n, (ast.Import, ast.ImportFrom)):
            out.update(a.asname or a.name.split(".")[0] for a in n.names)
        elif isinstance(n, ast.ExceptHandler) and n.name:
            out.add(n.name)
        elif isinstance(n, (ast.MatchAs, ast.MatchStar)) and n.name:
            out.add(n.name)
        if isinstance(n, ast.stmt):
            stack += _binding_parts(n)
        else:
            stack += ast.iter_child_nodes(n)
    return out


def _binding_parts(n: ast.stmt) -> list[ast.AST]:
    """The parts of a statement that may bind names; expressions only where an assignment expression may hide."""
    out: list[ast.AST] = []
    for name in n._fields:
        part: Any = getattr(n, name)
        items = cast("list[Any]", part) if isinstance(part, list) else [part]
        for item in items:
            if isinstance(item, (ast.stmt, ast.excepthandler, ast.withitem, ast.match_case, ast.alias)) or name in (
                "targets",
                "target",
            ):
                out.append(item)
            elif isinstance(item, ast.expr) and has_walrus(item):
                out.append(item)
    return out


def assigned_attributes(nodes: list[ast.stmt]) -> set[str]:
    """Attribute names that some statements assign."""
    return {
        n.attr
        for stmt in nodes
        for n in ast.walk(stmt)
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, (ast.Store, ast.Del))
    }
