# SPDX-License-Identifier: Apache-2.0
"""`./kaa compile` and `./kaa check`: the passes by hand.

    python -m kaa.compiler.cli check FILE…                 refuse or accept every function of some files
    python -m kaa.compiler.cli build [--cc CC] [-o OUT]   the kernel's image
    python -m kaa.compiler.cli dump ast|types|ir|c FILE:FUNCTION
"""

from __future__ import annotations

import ast
import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kaa.compiler import ir
from kaa.compiler.annotations import Annotations
from kaa.compiler.emit.module import Emitter
from kaa.compiler.errors import CompileError
from kaa.compiler.pipeline import analyse
from kaa.compiler.program import Function, Program
from kaa.compiler.source import unwrap


def module_of(path: Path) -> types.ModuleType:
    """Imports the module in a file: of the kaa package by its name, others by themselves."""
    parts = path.resolve().with_suffix("").parts
    if "kaa" in parts:
        start = len(parts) - 1 - parts[::-1].index("kaa")
        name = ".".join(parts[start:]).removesuffix(".__init__")
        if (Path(*parts[:start]) / "kaa" / "lang").exists():
            return importlib.import_module(name)
    from kaa.compiler.hostrun import load

    return load(path.resolve())


def functions_of(module: types.ModuleType) -> list[tuple[Callable[..., Any], type | None]]:
    """All plain functions and methods defined in a module, with their class."""
    out: list[tuple[Callable[..., Any], type | None]] = []
    for obj in vars(module).values():
        if getattr(obj, "__module__", None) != module.__name__:
            continue
        if isinstance(obj, types.FunctionType):
            out.append((obj, None))
        elif isinstance(obj, type) and not getattr(obj, "__parameters__", ()):
            for raw in vars(obj).values():
                fn = unwrap(raw)
                if isinstance(fn, types.FunctionType) and fn.__module__ == module.__name__ and not fn.__code__.co_filename.startswith("<"):
                    out.append((raw, obj))
    return out


def collect(program: Program, module: types.ModuleType) -> list[Function]:
    """Queues every function of a module."""
    found: list[Function] = []
    for raw, cls in functions_of(module):
        fn: Any = unwrap(raw)
        try:
            if _compile_time_only(fn):
                continue
            owner = program.class_info(cls) if cls is not None and not _is_foreign(cls) else None
            if cls is not None and owner is None:
                continue
            found.append(program.function(raw, owner))
        except CompileError as error:
            program.errors.append(error)
    return found


def _is_foreign(cls: type) -> bool:
    import enum

    return issubclass(cls, (enum.Enum, BaseException))


def _compile_time_only(fn: Callable[..., Any]) -> bool:
    """Functions that only run at import: decorators and builders say so by a parameter or result the language has no type for."""
    return "kaa_import_time" in fn.__dict__ or fn.__name__ in ("freeze",) or any("Any" in str(a) for a in fn.__annotations__.values())


def check(paths: list[str]) -> int:
    """Lowers and analyses every function of some files; prints what is refused."""
    program = Program()
    roots: list[str] = []
    for path in paths:
        module = module_of(Path(path))
        roots.append(module.__name__)
        program.roots = tuple(roots)  # type: ignore[attr-defined]
        collect(program, module)
    program.lower_all()
    if not program.errors:
        try:
            analyse(program)
        except CompileError as error:
            program.errors.append(error)
    seen: set[str] = set()
    for error in program.errors:
        if str(error) not in seen:
            seen.add(str(error))
            print(error, end="\n\n")
    print(f"{len(seen)} errors in {len(program.functions)} functions")
    return 1 if seen else 0


def dump(what: str, target: str) -> int:
    """Prints one function after a pass."""
    path, _, name = target.rpartition(":")
    module = module_of(Path(path))
    program = Program()
    program.roots = (module.__name__,)  # type: ignore[attr-defined]
    found: Function | None = None
    for raw, cls in functions_of(module):
        fn: Any = unwrap(raw)
        if fn.__qualname__ == name or fn.__name__ == name:
            found = program.function(raw, program.class_info(cls) if cls is not None else None)
    if found is None:
        print(f"kaa compile: there is no function '{name}' in {path}", file=sys.stderr)
        return 2
    if what == "ast":
        print(ast.unparse(found.node))
        return 0
    program.lower_all()
    if program.errors:
        print("\n\n".join(map(str, program.errors)), file=sys.stderr)
        return 1
    if what == "types":
        names = {v.name: v for b in found.blocks for i in b.instrs for v in i.defs() if not v.temp}
        for v in [*found.params, *names.values()]:
            print(f"{v.name.removeprefix('v_').removeprefix('p_')}: {v.type.name}")
        return 0
    analyse(program)
    if what == "ir":
        print(ir.format_function(found))
        return 0
    emitter = Emitter(program, str(Path.cwd()))
    from kaa.compiler.emit.function import FunctionEmitter

    print(FunctionEmitter(found, emitter.file_name).text())
    return 0


def build(argv: list[str]) -> int:
    """build [--cc zig|gcc|clang] [--unchecked] [-o OUT]: the kernel's image."""
    import argparse
    import gc

    gc.disable()  # a build makes many objects and keeps nearly all: looking for garbage is a third of its time
    from kaa.compiler import image, pipeline, toolchain

    parser = argparse.ArgumentParser(prog="kaa compile build")
    parser.add_argument("--cc", default="zig", choices=("zig", "gcc", "clang"))
    parser.add_argument("--unchecked", action="store_true")
    parser.add_argument("--package", default="kaa.kernel")
    parser.add_argument("-o", dest="output", type=Path, default=Path("build/kaa.elf"))
    options = parser.parse_args(argv)
    package = importlib.import_module(options.package)
    script = Path(next(iter(package.__path__))) / "image.ld"
    options.output.parent.mkdir(parents=True, exist_ok=True)
    try:
        made = image.build(options.package, script, options.output, cc=options.cc, unchecked=options.unchecked)
    except (pipeline.Refused, toolchain.ToolError, CompileError) as error:
        print(error, file=sys.stderr)
        if isinstance(error, pipeline.Refused):
            print(f"{len(error.errors)} errors", file=sys.stderr)
        return 1
    print(" ".join(f"{k} {v:.2f}s" for k, v in made.seconds.items()))
    return 0


def main(argv: list[str]) -> int:
    if argv[:1] == ["check"]:
        return check(argv[1:])
    if argv[:1] == ["build"]:
        return build(argv[1:])
    if len(argv) == 3 and argv[0] == "dump":
        return dump(argv[1], argv[2])
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

__all__ = ["Annotations"]
