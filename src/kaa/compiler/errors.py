# SPDX-License-Identifier: Apache-2.0
"""What the compiler says when it refuses a program: file, line, source, caret, one sentence, as CPython does."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


class CompileError(Exception):
    """A refusal that points at one place in the source."""

    def __init__(self, message: str, filename: str = "", node: ast.AST | None = None, line: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.filename = filename
        self.line = getattr(node, "lineno", line)
        self.column = getattr(node, "col_offset", -1)
        end_line = getattr(node, "end_lineno", self.line)
        self.end_column = getattr(node, "end_col_offset", self.column + 1) if end_line == self.line else -1
        self.notes: list[str] = []
        self.rule = ""
        """Of a proof: which of its rules."""

    def __str__(self) -> str:
        out = [f'  File "{self.filename}", line {self.line}']
        text = linecache.getline(self.filename, self.line).rstrip("\n")
        if text:
            stripped = text.lstrip()
            out.append("    " + stripped)
            if self.column >= 0:
                # ast counts UTF-8 bytes; the caret counts characters
                indent = len(text) - len(stripped)
                raw = text.encode()
                start = len(raw[: self.column].decode(errors="replace"))
                end = len(raw[: self.end_column].decode(errors="replace")) if self.end_column > 0 else len(text)
                width = max(1, end - start)
                out.append("    " + " " * max(0, start - indent) + "^" * width)
        out.append(f"CompileError: {self.message}")
        out += [f"  {note}" for note in self.notes]
        return "\n".join(out)


def refusals(items: Iterable[T], check: Callable[[T], None]) -> list[CompileError]:
    """The errors that `check` raises of some items."""
    found: list[CompileError] = []
    for item in items:
        try:
            check(item)
        except CompileError as error:
            found.append(error)
    return found
