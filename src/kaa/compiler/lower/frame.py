# SPDX-License-Identifier: Apache-2.0
"""The scope of one function body being lowered: the function itself, or one that is expanded inside it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
