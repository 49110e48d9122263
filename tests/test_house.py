# SPDX-License-Identifier: Apache-2.0
"""The house's rules hold: floors, the unsafe list, headers, sizes, ruff, pyright. The rules themselves are
house_rules.py."""

from __future__ import annotations

import ast
import functools
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

import house_rules as rules
from kaa.host import strict_types, unsafe_share

HOME = pathlib.Path(__file__).resolve().parents[1]
SOURCES = HOME / "src"
FILES = sorted((SOURCES / "kaa").rglob("*.py"))


def name_of(path: pathlib.Path) -> str:
    parts = path.relative_to(SOURCES).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor_of(module: str) -> str | None:
    return next((floor for floor in rules.FLOORS if module == floor or module.startswith(floor + ".")), None)


@functools.cache
def tree_of(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, also within functions and under TYPE_CHECKING."""
    module = name_of(path)
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *(node.module.split(".") if node.module else [])])
            yield node.lineno, origin
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def of_floor(floor: str) -> list[pathlib.Path]:
    return [path for path in FILES if floor_of(name_of(path)) == floor]


def kernel_files() -> list[pathlib.Path]:
    return of_floor("kaa.kernel")


def is_unsafe(path: pathlib.Path) -> bool:
    return unsafe_share.imports_unsafe(path)


def lines_of(path: pathlib.Path) -> int:
    return path.read_text().count("\n")


@pytest.mark.parametrize("floor", rules.FLOORS)
def test_a_floor_imports_only_floors_below_it(floor: str) -> None:
    allowed = (floor, *rules.MAY_IMPORT[floor])
    wrong = [f"{path}:{line} imports {module}" for path in of_floor(floor) for line, module in imports(path)
             if floor_of(module) is not None and floor_of(module) not in allowed]
    assert not wrong, "\n".join(wrong)


def test_the_kernel_imports_nothing_but_the_language_and_plain_standard_modules() -> None:
    wrong = [f"{path}:{line} imports {module}" for path in kernel_files() for line, module in imports(path)
             if not module.startswith("kaa") and module.split(".")[0] not in rules.KERNEL_STDLIB]
    assert not wrong, "\n".join(wrong)


def test_only_listed_modules_import_unsafe() -> None:
    from kaa.compiler import unsafe_list
    listed = unsafe_list.allowed if hasattr(unsafe_list, "allowed") else None
    assert listed is not None, "kaa.compiler.unsafe_list offers no allowed(module) -> bool"
    wrong = [name_of(path) for path in kernel_files() if is_unsafe(path) and not listed(name_of(path))]
    assert not wrong, f"these import {unsafe_share.UNSAFE} and are not on the list: {wrong}"


def test_the_unsafe_share_of_the_kernel_is_small() -> None:
    unsafe, total = unsafe_share.count()
    assert unsafe <= rules.UNSAFE_SHARE_AT_MOST * total, f"{unsafe} of {total} lines: {unsafe / total:.1%}"


def test_every_file_has_its_licence_header() -> None:
    wrong = [str(path) for folder in ("src", "tests", "bench") for path in (HOME / folder).rglob("*.py")
             if rules.SPDX not in path.read_text().splitlines()[:2]]
    assert not wrong, "\n".join(wrong)


def test_every_module_says_what_it_is_for() -> None:
    wrong = [str(path) for path in FILES if not ast.get_docstring(tree_of(path))]
    assert not wrong, "\n".join(wrong)


def test_kernel_files_are_annotated_lazily() -> None:
    wrong = [str(path) for path in kernel_files() if len(tree_of(path).body) > 1
             and "from __future__ import annotations" not in path.read_text()]
    assert not wrong, "\n".join(wrong)


def test_files_stay_one_idea() -> None:
    grown = [f"{path}: {lines_of(path)} lines" for path in FILES if lines_of(path) > rules.FILE_LINES_AT_MOST]
    assert not grown, "\n".join(grown)


def test_functions_stay_on_a_screen() -> None:
    grown = [f"{path}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
             for path in FILES for node in ast.walk(tree_of(path))
             if isinstance(node, ast.FunctionDef) and node.end_lineno is not None
             and node.end_lineno - node.lineno + 1 > rules.FUNCTION_LINES_AT_MOST and not is_assembly(node)]
    assert not grown, "\n".join(grown)


def is_assembly(function: ast.FunctionDef) -> bool:
    """A @naked function is one text in another language."""
    return any(isinstance(d, ast.Call) and isinstance(d.func, ast.Name) and d.func.id == "naked"
               for d in function.decorator_list)


def test_ruff_finds_nothing() -> None:
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise",
                           "src", "tests", "kaa"], cwd=HOME, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr


@pytest.mark.slow
def test_pyright_strict_finds_nothing() -> None:
    errors = strict_types.errors()
    assert not errors, f"{len(errors)} errors\n" + "\n".join(errors[:60])
