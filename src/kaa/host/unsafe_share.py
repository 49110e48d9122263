# SPDX-License-Identifier: Apache-2.0
"""How much of the kernel may use raw addresses: the lines of its modules that import kaa.lang.unsafe."""

from __future__ import annotations

import ast
import pathlib

from kaa.host import paths

UNSAFE = "kaa.lang.unsafe"


def imports_unsafe(path: pathlib.Path) -> bool:
    """Whether a file imports kaa.lang.unsafe, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        if any(name == UNSAFE or name.startswith(UNSAFE + ".") for name in names):
            return True
    return False


def count(kernel: pathlib.Path = paths.PACKAGE / "kernel") -> tuple[int, int]:
    """(lines in modules that may, lines in all)."""
    unsafe = total = 0
    for path in kernel.rglob("*.py"):
        text = path.read_text()
        lines = text.count("\n")
        total += lines
        if UNSAFE in text or "import unsafe" in text:
            unsafe += lines if imports_unsafe(path) else 0
    return unsafe, total
