# SPDX-License-Identifier: Apache-2.0
"""`./kaa compile --dump PASS FILE:FUNCTION`: one function as it is after a pass."""

from __future__ import annotations

import ast
import importlib
import types
from pathlib import Path
from typing import Any

from kaa.compiler import hostrun, ir
from kaa.compiler.emit.function import FunctionEmitter
from kaa.compiler.emit.module import Emitter
from kaa.compiler.functions import functions_of
from kaa.compiler.pipeline import Refused, analyse
from kaa.compiler.program import Function, Program
from kaa.compiler.source import unwrap

PASSES = ("ast", "types", "ir", "c")


class Unusable(Exception):
    """What was asked for cannot be shown; the message says why, in one sentence."""


def module_of(path: Path) -> types.ModuleType:
    """Imports the module in a file: of the kaa package by its name, others by themselves. Raises Unusable."""
    if not path.is_file():
        raise Unusable(f"there is no file {path}")
    if path.suffix != ".py":
        raise Unusable(f"{path} is not a Python file")
    parts = path.resolve().with_suffix("").parts
    try:
        if "kaa" in parts:
            start = len(parts) - 1 - parts[::-1].index("kaa")
            if (Path(*parts[:start]) / "kaa" / "lang").exists():
                return importlib.import_module(".".join(parts[start:]).removesuffix(".__init__"))
        return hostrun.load(path.resolve())
    except (ImportError, SyntaxError) as error:
        raise Unusable(f"{path} cannot be imported: {error}") from None


def dump(what: str, target: str) -> str:
    """The text of one function after a pass. Raises Unusable, Refused."""
    if what not in PASSES:
        raise Unusable(f"there is no pass '{what}'; there are {', '.join(PASSES)}")
    path, colon, name = target.rpartition(":")
    if not colon or not name:
        raise Unusable(f"say which function: {target}:FUNCTION (a method is CLASS.METHOD)")
    program = Program()
    found = _find(program, module_of(Path(path)), path, name)
    if what == "ast":
        return ast.unparse(found.node)
    program.lower_all()
    if program.errors:
        raise Refused(program.errors)
    if not found.blocks:
        raise Unusable(f"{name} has no code of its own: it is expanded where it is called")
    if what == "types":
        return _types(found)
    analyse(program).finish(found)
    if what == "ir":
        return ir.format_function(found)
    return FunctionEmitter(found, Emitter(program, str(Path.cwd())).file_name).text()


def _find(program: Program, module: types.ModuleType, path: str, name: str) -> Function:
    program.roots = (module.__name__,)
    for raw, cls in functions_of(module):
        fn: Any = unwrap(raw)
        if name in (fn.__qualname__, fn.__name__):
            return program.function(raw, program.class_info(cls) if cls is not None else None)
    raise Unusable(f"there is no function '{name}' in {path}")


def _types(fn: Function) -> str:
    """The types of parameters and locals, a line each."""
    named = {v.name: v for b in fn.blocks for i in b.instrs for v in i.defs() if not v.temp}
    lines = [f"{v.name.removeprefix('v_').removeprefix('p_')}: {v.type.name}" for v in [*fn.params, *named.values()]]
    return "\n".join([*dict.fromkeys(lines), f"return: {fn.result}"])
