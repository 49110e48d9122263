# SPDX-License-Identifier: Apache-2.0
"""Compiles a module for this machine and runs its functions: how the language is tested against CPython."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaa.compiler.pipeline import Compiled, compile_program
from kaa.compiler.toolchain import Unit, compile_units, compiler
from kaa.compiler.toolchain import run as run_tool

RUNTIME = Path(__file__).parent / "host_runtime.c"
BUILD = Path.home() / ".cache" / "kaa" / "hostrun"


@dataclass
class HostResult:
    """What one native run said. `trap`: "kind line"; `status`: the error's errno, 101 for a trap; `leaked`: objects
    left."""

    emitted: list[int | bytes] = field(default_factory=list[int | bytes])
    trap: str | None = None
    status: int = 0
    leaked: int = 0
    stderr: str = ""


@dataclass
class Program:
    """A module compiled for the host."""

    executable: Path
    compiled: Compiled
    cases: list[str]

    def run(self, case: str, fail_after: int | None = None, timeout: float = 20) -> HostResult:
        """Runs one function; `fail_after`: the allocation after that many fails."""
        command = [str(self.executable), case] + ([str(fail_after)] if fail_after is not None else [])
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        return _parse(done.stdout, done.returncode, done.stderr)


def _parse(out: str, status: int, stderr: str) -> HostResult:
    result = HostResult(status=status, stderr=stderr)
    for line in out.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "i":
            result.emitted.append(int(rest))
        elif kind == "b":
            result.emitted.append(bytes.fromhex(rest))
        elif kind == "T":
            result.trap = rest
        elif kind == "L":
            result.leaked = int(rest)
    return result


def load(path: Path) -> types.ModuleType:
    """Imports a program file under a name of its own."""
    name = f"kaaprog_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def entries(module: types.ModuleType) -> list[Callable[..., Any]]:
    """The functions a test program is run by: case_* and trap_*."""
    return [
        f for n, f in vars(module).items() if n.startswith(("case_", "trap_")) and isinstance(f, types.FunctionType)
    ]


def build(
    path: Path, *, cc: str = "zig", sanitize: bool = False, unchecked: bool = False, optimise: str = "-O1"
) -> Program:
    """Compiles a program file into an executable. Raises pipeline.Refused."""
    module = load(path)
    functions = entries(module)
    compiled = compile_program([], str(path.parent), ("kaaprog_",), functions)
    table = "".join(f'{{"{f.__name__}", kt_{compiled.program.function(f).cname}}}, ' for f in functions)
    externs = "".join(f"u32 kt_{compiled.program.function(f).cname}(void);" for f in functions)
    main = (
        '#include "kaa.h"\nstruct entry { const char *name; u32 (*run)(void); };\n'
        f"{externs}\nstruct entry kaa_entries[] = {{{table}{{0, 0}}}};\n"
    )
    units = [*compiled.units, Unit("kaa_entries", main), Unit("host_runtime", RUNTIME.read_text())]
    if sanitize and cc == "zig":
        cc = "gcc"
    flags = [optimise, "-g", "-fno-omit-frame-pointer"] + (["-DKAA_UNCHECKED"] if unchecked else [])
    if sanitize:
        flags += [
            "-fsanitize=address,undefined",
            "-fno-sanitize=alignment,shift,nonnull-attribute,null,pointer-overflow",
            "-fno-sanitize-recover=all",
        ]
    key = hashlib.sha256("\0".join([str(path), cc, *flags]).encode()).hexdigest()[:16]
    folder = BUILD / f"{path.stem}-{key}"
    objects = compile_units(units, folder, cc, flags, host=True)
    executable, fresh = folder / "program", folder / f"program.{os.getpid()}"
    run_tool([*compiler(cc, True), *flags, *map(str, objects), "-o", str(fresh)])
    fresh.rename(executable)  # another test process may be running the one before
    return Program(executable, compiled, [f.__name__ for f in functions])


def run(path: Path, case: str, *, cc: str = "zig", sanitize: bool = False, fail_after: int | None = None) -> HostResult:
    """Builds (or reuses) and runs one case."""
    return build(path, cc=cc, sanitize=sanitize).run(case, fail_after)
