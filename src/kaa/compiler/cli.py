# SPDX-License-Identifier: Apache-2.0
"""`./kaa compile` and `./kaa check`: the passes by hand.

python -m kaa.compiler.cli check FILE…                 refuse or accept every function of some files
python -m kaa.compiler.cli build [--cc CC] [-o OUT]   the kernel's image
python -m kaa.compiler.cli prove [--sizes ELF]         all proofs about the kernel, without building it
python -m kaa.compiler.cli dump ast|types|ir|c FILE:FUNCTION
"""

from __future__ import annotations

import argparse
import enum
import gc
import importlib
import os
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kaa.compiler import image
from kaa.compiler.dump import Unusable, dump, module_of
from kaa.compiler.errors import CompileError
from kaa.compiler.functions import functions_of
from kaa.compiler.pipeline import Refused, analyse, lower
from kaa.compiler.program import Function, Program
from kaa.compiler.source import unwrap
from kaa.compiler.toolchain import ToolError


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
    return issubclass(cls, (enum.Enum, BaseException))


def _compile_time_only(fn: Callable[..., Any]) -> bool:
    """Functions that only run at import: decorators and builders say so by a type the language does not have."""
    said = "kaa_import_time" in fn.__dict__ or fn.__name__ == "freeze"
    return said or any("Any" in str(a) for a in fn.__annotations__.values())


def check(paths: list[str]) -> int:
    """Lowers and analyses every function of some files; prints what is refused."""
    program = Program()
    roots: list[str] = []
    for path in paths:
        module = module_of(Path(path))
        roots.append(module.__name__)
        program.roots = tuple(roots)
        collect(program, module)
    program.lower_all()
    if not program.errors:
        try:
            analyse(program)
        except Refused as refused:
            program.errors += refused.errors
    seen: set[str] = set()
    for error in program.errors:
        if str(error) not in seen:
            seen.add(str(error))
            print(error, end="\n\n")
    print(f"{len(seen)} errors in {len(program.functions)} functions")
    return 1 if seen else 0


def build(argv: list[str]) -> int:
    """build [--cc zig|gcc|clang] [--unchecked] [--proofs off|warn|strict] [-o OUT]: the kernel's image. What it says
    goes to standard error: standard output may be that of a command that is to run on the kernel."""
    gc.disable()  # a build makes many objects and keeps nearly all: looking for garbage is a third of its time
    parser = argparse.ArgumentParser(prog="kaa compile build")
    parser.add_argument("--cc", default="zig", choices=("zig", "gcc", "clang"))
    parser.add_argument("--unchecked", action="store_true")
    parser.add_argument("--proofs", default="off", choices=("off", "warn", "strict"))
    parser.add_argument("--package", default="kaa.kernel")
    parser.add_argument("-o", dest="output", type=Path, default=Path("build/kaa.elf"))
    options = parser.parse_args(argv)
    package = importlib.import_module(options.package)
    script = Path(next(iter(package.__path__))) / "image.ld"
    options.output.parent.mkdir(parents=True, exist_ok=True)
    try:
        made = image.build(
            options.package, script, options.output,
            cc=options.cc, unchecked=options.unchecked, proofs=options.proofs != "off",
        )  # fmt: skip
    except (Refused, ToolError, CompileError) as error:
        print(error, file=sys.stderr)
        if isinstance(error, Refused):
            print(f"{len(error.errors)} errors", file=sys.stderr)
        return 1
    print(" ".join(f"{k} {v:.2f}s" for k, v in made.seconds.items()), file=sys.stderr)
    if made.findings is None:
        print(f"{opt_outs(made.compiled.program)} places opt out of a proof (./kaa check proves)", file=sys.stderr)
        if options.proofs == "strict":
            options.output.unlink(missing_ok=True)
            return 1
    else:
        print(made.findings.summary(), file=sys.stderr)
        refused = made.findings.refused()
        for error in refused:
            print(error, end="\n\n", file=sys.stderr)
        if options.proofs == "strict" and refused:
            options.output.unlink(missing_ok=True)
            return 1
    return 0


def opt_outs(program: Program) -> int:
    """How many functions opt out of a proof."""
    from kaa.compiler.proofs.findings import Findings

    found = Findings()
    found.note_opt_outs(program)
    return len(found.opted_out)


def prove(argv: list[str]) -> int:
    """prove [--sizes ELF] [--documents DIR] [-q] [PROOF…]: the proofs about the kernel, without building it."""
    from kaa.compiler.proofs import run as proofs
    from kaa.compiler.proofs.findings import PROOFS
    from kaa.compiler.proofs.stack import frame_sizes

    gc.disable()
    sys.setrecursionlimit(20000)
    parser = argparse.ArgumentParser(prog="kaa compile prove")
    parser.add_argument("--sizes", type=Path, help="a linked image whose frames are the program's")
    parser.add_argument("--documents", type=Path, help="where to write locks.md and locks.svg")
    parser.add_argument("--package", default="kaa.kernel")
    parser.add_argument("-q", dest="quiet", action="store_true", help="only the numbers")
    parser.add_argument("proofs", nargs="*", help="show these proofs' refusals: context, ends, order, stack, …")
    options = parser.parse_args(argv)
    began = time.perf_counter()
    modules = image.import_package(options.package)
    try:
        program = lower(image.entry_points(modules))
        counts = analyse(program)
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    counts.finish_all()
    found = proofs.prove(program, frame_sizes(options.sizes) if options.sizes is not None else {})
    if options.sizes is None:
        found.stacks.clear()  # only recursion was looked for
    folder: Path | None = options.documents
    if folder is not None:
        for name, text in found.documents.items():
            (folder / name).write_text(text)
    shown: tuple[str, ...] = tuple(options.proofs) or PROOFS
    for error in () if options.quiet else found.refused(shown):
        print(f"{error}\n")
    for line in () if options.quiet else found.stacks:
        print(line)
    for one in () if options.quiet else found.opted_out:
        print(f"trusted ({one.proof}): {one.function}: {one.reason}")
    alone = sum(found.seconds.values())
    print(f"{found.summary()}; {time.perf_counter() - began:.1f} s, of which {alone:.1f} s for the proofs")
    return 1 if found.refused(shown) else 0


def main(argv: list[str]) -> int:
    try:
        if argv[:1] == ["check"]:
            return check(argv[1:])
        if argv[:1] == ["build"]:
            return build(argv[1:])
        if argv[:1] == ["prove"]:
            return prove(argv[1:])
        if len(argv) == 3 and argv[0] == "dump":
            print(dump(argv[1], argv[2]))
            return 0
    except Unusable as error:
        print(f"kaa compile: {error}", file=sys.stderr)
        return 2
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a compiled program is millions of objects: taking them apart one by one takes half a second
