# SPDX-License-Identifier: Apache-2.0
"""A freestanding program → a bootable ELF image: imports a package, compiles what its entry points reach, links it with
the package's linker script, and adds the table of source lines that tracebacks are made from."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
import sys
import time
import traceback
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaa.compiler import unsafe_list
from kaa.compiler.errors import CompileError
from kaa.compiler.pipeline import Compiled, Refused, compile_program
from kaa.compiler.source import markers
from kaa.compiler.toolchain import Unit, compile_units, linker, run

if TYPE_CHECKING:
    from kaa.compiler.proofs.findings import Findings

TARGET = {
    "x86_64": ["--target=x86_64-unknown-none-elf", "-mcmodel=kernel", "-mno-red-zone", "-mgeneral-regs-only"],
}
FREESTANDING = [
    "-O2", "-g", "-ffreestanding", "-fno-pic", "-fno-pie", "-fno-omit-frame-pointer", "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables", "-ffunction-sections", "-fdata-sections", "-fstack-size-section",
]  # fmt: skip
NOT_GCC = {"--target=x86_64-unknown-none-elf", "-fstack-size-section"}


@dataclass
class Image:
    """What a build made."""

    elf: Path
    compiled: Compiled
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    findings: Findings | None = None


def import_package(name: str) -> list[types.ModuleType]:
    """Imports every module of a package."""
    package = importlib.import_module(name)
    out = [package]
    for info in pkgutil.walk_packages(package.__path__, name + "."):
        out.append(importlib.import_module(info.name))
    return out


def entry_points(modules: list[types.ModuleType]) -> list[Callable[..., Any]]:
    """Functions that the outside reaches by symbol: @export and @naked."""
    found: dict[int, Callable[..., Any]] = {}
    for module in modules:
        for obj in vars(module).values():
            if isinstance(obj, types.FunctionType) and ("export" in markers(obj) or "naked" in markers(obj)):
                found[id(obj)] = obj
    return list(found.values())


def build(
    package: str,
    script: Path,
    output: Path,
    *,
    cc: str = "zig",
    arch: str = "x86_64",
    unchecked: bool = False,
    proofs: bool = True,
) -> Image:
    """Builds the image, and with `proofs` proves it. Raises pipeline.Refused, toolchain.ToolError."""
    marks = [("start", time.perf_counter())]

    def mark(name: str) -> None:
        marks.append((name, time.perf_counter()))

    sys.setrecursionlimit(20000)
    root = Path(importlib.import_module("kaa").__file__ or "").parent.parent.parent
    modules = import_package(package)
    refuse_unsafe(modules)
    mark("import")
    compiled = compile_program(entry_points(modules), str(root))
    mark("compile")
    flags = [*FREESTANDING, *TARGET[arch]]
    if cc == "gcc":
        flags = [f for f in flags if f not in NOT_GCC]
    if unchecked:
        flags.append("-DKAA_UNCHECKED")
    folder = output.parent / f"{output.stem}-{cc}{'-unchecked' if unchecked else ''}"
    bare = folder / "linked.elf"
    objects = compile_units(compiled.units, folder, cc, flags)
    mark("C")
    link(objects, script, bare)
    mark("link")
    table = line_table(bare, folder, root, cc, flags, objects, script)
    shutil.copyfile(table, output)
    mark("lines")
    findings: Findings | None = None
    if proofs:
        findings = _prove(compiled, bare)
        mark("proofs")
    seconds = {name: at - before for (_, before), (name, at) in zip(marks, marks[1:], strict=False)}
    seconds.update({f"compile.{k}": v for k, v in compiled.seconds.items()})
    return Image(output, compiled, seconds, findings)


def _prove(compiled: Compiled, linked: Path) -> Findings | None:
    """The proofs about a program whose image is made; None if one of them broke down, which is told."""
    from kaa.compiler.proofs.run import prove
    from kaa.compiler.proofs.stack import frame_sizes

    compiled.counts.finish_all()
    try:
        return prove(compiled.program, frame_sizes(linked))
    except Exception:
        print(f"a proof broke down:\n{traceback.format_exc()}", file=sys.stderr)
        return None


def refuse_unsafe(modules: list[types.ModuleType]) -> None:
    """Only listed modules import kaa.lang.unsafe. Raises Refused."""
    wrong = [m for m in modules if unsafe_list.imports_unsafe(m) and not unsafe_list.allowed(m.__name__)]
    if wrong:
        raise Refused(
            [
                CompileError(f"{m.__name__} imports kaa.lang.unsafe but is not on the unsafe list", m.__file__ or "")
                for m in wrong
            ]
        )


def link(objects: list[Path], script: Path, output: Path) -> None:
    """Links objects with a linker script."""
    run([*linker(), "-T", str(script), "-z", "max-page-size=4096", "--gc-sections", "-static", "-nostdlib",
         "--no-dynamic-linker", "-o", str(output), *map(str, sorted(objects))])  # fmt: skip


def line_table(
    bare: Path, folder: Path, root: Path, cc: str, flags: list[str], objects: list[Path], script: Path
) -> Path:
    """Links again with the table of source lines, where the compiler has one; addresses of code do not change."""
    try:
        from kaa.compiler import line_table as lines
    except ImportError:
        return bare
    unit = Unit("kaa_lines", lines.c_source(bare, root))
    final = folder / "final.elf"
    link([*objects, *compile_units([unit], folder, cc, flags)], script, final)
    return final


__all__ = ["Image", "build", "os"]
