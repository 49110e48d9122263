# SPDX-License-Identifier: Apache-2.0
"""What statements bind, assign and call: asked of each loop and each function, so found bottom up and remembered."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import cast

from kaa.compiler.source import COMPOUND, Module

_names: dict[ast.AST, frozenset[str]] = {}
_attributes: dict[ast.stmt, frozenset[str]] = {}
_calls: dict[ast.AST, bool] = {}

NOTHING: frozenset[str] = frozenset()
SIMPLE = (ast.Expr, ast.Return, ast.Raise, ast.Assert, ast.Pass, ast.Break, ast.Continue, ast.Global, ast.Nonlocal)
"""Statements that bind and assign nothing themselves."""


def has_walrus(node: ast.AST) -> bool:
    """True if an expression assigns a name."""
    return node in Module.with_walrus


def has_call(node: ast.AST) -> bool:
    """True if a statement calls something."""
    if node not in _calls:
        work = [node]
        while work and not isinstance(work[-1], ast.Call):
            for part in vars(work.pop()).values():
                if isinstance(part, list):
                    work += [p for p in cast("list[object]", part) if isinstance(p, ast.AST)]
                elif isinstance(part, ast.AST):
                    work.append(part)
        _calls[node] = bool(work)
    return _calls[node]


def has_break(node: ast.stmt) -> bool:
    """True if a statement is or has a `break`."""
    return isinstance(node, ast.Break) or (isinstance(node, COMPOUND) and any(map(has_break, _blocks(node))))


def assigned_names(node: ast.AST) -> frozenset[str]:
    """Names that a statement, or a function's body, binds (not in nested functions; comprehension targets are
    apart)."""
    if node not in _names:
        if isinstance(node, SIMPLE) and not has_walrus(node):
            return NOTHING
        if isinstance(node, ast.FunctionDef):
            _names[node] = _all(node.body)
        elif isinstance(node, ast.stmt):
            _names[node] = _bound(node)
        else:
            _names[node] = frozenset(_stored(node.body if isinstance(node, ast.Lambda) else node))
    return _names[node]


def assigned_attributes(nodes: Iterable[ast.stmt]) -> set[str]:
    """Attribute names that some statements assign."""
    return set[str]().union(*map(_attributes_of, nodes))


def _all(body: Iterable[ast.stmt]) -> frozenset[str]:
    return NOTHING.union(*filter(None, map(assigned_names, body)))


def _blocks(node: ast.stmt) -> list[ast.stmt]:
    """The statements inside a compound statement."""
    out: list[ast.stmt] = [*getattr(node, "body", ()), *getattr(node, "orelse", ()), *getattr(node, "finalbody", ())]
    if isinstance(node, ast.Try):
        for handler in node.handlers:
            out += handler.body
    elif isinstance(node, ast.Match):
        for case in node.cases:
            out += case.body
    return out


def _targets(node: ast.stmt) -> list[ast.AST]:
    """What a statement itself assigns to."""
    if isinstance(node, (ast.Assign, ast.Delete)):
        return list(node.targets)
    if isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.For)):
        return [node.target]
    if isinstance(node, ast.With):
        return [i.optional_vars for i in node.items if i.optional_vars is not None]
    return []


def _bound(node: ast.stmt) -> frozenset[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return frozenset((node.name,))
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return frozenset(a.asname or a.name.split(".")[0] for a in node.names)
    out: set[str] = set()
    if not isinstance(node, SIMPLE):
        for target in _targets(node):
            out |= _stored(target)
        if isinstance(node, ast.Try):
            out.update(h.name for h in node.handlers if h.name)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                out.update(
                    n.name for n in ast.walk(case.pattern) if isinstance(n, (ast.MatchAs, ast.MatchStar)) and n.name
                )
        out |= _all(_blocks(node))
    if has_walrus(node):
        for part in ast.iter_child_nodes(node):
            if not isinstance(part, ast.stmt) and has_walrus(part):
                out |= _stored(part)
    return frozenset(out)


APART = (ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp, ast.stmt)


def _stored(node: ast.AST) -> set[str]:
    """The names that an expression (or a part of a statement) stores into."""
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, (ast.Store, ast.Del)) else set()
    out: set[str] = set()
    stack: list[ast.AST] = [node]
    while stack:
        n = stack.pop()
        if isinstance(n, ast.Name) and isinstance(n.ctx, (ast.Store, ast.Del)):
            out.add(n.id)
        if not isinstance(n, APART):
            stack += ast.iter_child_nodes(n)
    return out


def _attributes_of(node: ast.stmt) -> frozenset[str]:
    if node not in _attributes:
        out: set[str] = set()
        if not isinstance(node, SIMPLE):
            for target in _targets(node):
                out.update(
                    n.attr
                    for n in ast.walk(target)
                    if isinstance(n, ast.Attribute) and isinstance(n.ctx, (ast.Store, ast.Del))
                )
            out |= assigned_attributes(_blocks(node))
        _attributes[node] = frozenset(out)
    return _attributes[node]
