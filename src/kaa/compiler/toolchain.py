# SPDX-License-Identifier: Apache-2.0
"""C compilers: the pinned ziglang wheel's clang (default), gcc, clang. Objects are cached by the content they were made
from."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HEADER = Path(__file__).parent / "emit" / "kaa.h"
DEFINED = ["-fwrapv", "-fno-strict-aliasing", "-fno-delete-null-pointer-checks", "-w", "-std=gnu11"]


class ToolError(Exception):
    """A C compiler or linker failed, or is not there."""


def zig() -> str:
    """The path of the zig program in the ziglang wheel."""
    try:
        wheel = importlib.import_module("ziglang")
    except ImportError:
        raise ToolError("the ziglang wheel is not installed") from None
    return os.path.join(os.path.dirname(wheel.__file__ or ""), "zig")


def compiler(cc: str, host: bool) -> list[str]:
    """The command that compiles C. `host`: for this machine, with a C library to link with."""
    if cc == "zig":
        return [zig(), "cc", "-fno-sanitize=undefined"] if host else [zig(), "clang"]
    found = shutil.which(cc)
    if found is None:
        raise ToolError(f"no C compiler '{cc}' on this machine")
    return [found]


def linker() -> list[str]:
    return [zig(), "ld.lld"]


@dataclass
class Unit:
    """One C file to compile."""

    name: str
    text: str


def run(command: list[str]) -> None:
    """Runs a tool. Raises ToolError with what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"{' '.join(command[:4])} … failed:\n{done.stderr[-6000:] or done.stdout[-6000:]}")


def compile_units(
    units: list[Unit], folder: Path, cc: str, flags: list[str], host: bool = False, jobs: int = 0
) -> list[Path]:
    """Compiles C texts into objects, in parallel, reusing those whose content and flags are known. The C stays in
    `folder`/c."""
    source, objects = folder / "c", folder / "obj"
    source.mkdir(parents=True, exist_ok=True)
    objects.mkdir(parents=True, exist_ok=True)
    header = HEADER.read_text()
    (source / "kaa.h").write_text(header)
    command = [*compiler(cc, host), *DEFINED, *flags]

    def one(unit: Unit) -> Path:
        path = source / f"{unit.name}.c"
        key = hashlib.sha256("\0".join([*command[1:], header, unit.text]).encode()).hexdigest()[:24]
        out = objects / f"{unit.name}-{key}.o"
        if not path.exists() or path.read_text() != unit.text:
            path.write_text(unit.text)
        if not out.exists():
            fresh = out.with_suffix(f".{os.getpid()}.tmp")
            run([*command, "-I", str(source), "-c", str(path), "-o", str(fresh)])
            for old in objects.glob(f"{unit.name}-*.o"):
                old.unlink(missing_ok=True)
            fresh.rename(out)
        return out

    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        return list(pool.map(one, sorted(units, key=lambda u: -len(u.text))))
