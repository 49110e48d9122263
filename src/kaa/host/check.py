# SPDX-License-Identifier: Apache-2.0
"""`./kaa check`: ruff and pyright over the sources, in that order; then the house's own rules (tests/test_house.py) and
the compiler's proofs about the kernel, without building it."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from kaa.host import paths

TOOLS: dict[str, list[str]] = {
    "ruff": ["-m", "ruff", "check", "src", "tests", "kaa"],
    "pyright": ["-m", "pyright", "--warnings"],
    "house rules": ["-m", "pytest", "-q", "tests/test_house.py", "-k", "not ruff and not pyright"],
}


def _sizes() -> list[str]:
    """The last build's frames, for the stack proof, if it is of these sources."""
    from kaa.host import build

    linked = paths.SYMBOLS.with_name(f"{paths.SYMBOLS.stem}-zig") / "linked.elf"
    return ["--sizes", str(linked)] if build.is_current() and linked.is_file() else []


def check() -> int:
    """Runs the tools and lets each say what it finds. 0 when none found anything, 1 otherwise."""
    failed: list[str] = []
    environment = {**os.environ, "PYTHONPATH": str(paths.SOURCES)}
    tools = {**TOOLS, "proofs": ["-m", "kaa.compiler.cli", "prove", *_sizes()]}
    for name, words in tools.items():
        if subprocess.run([sys.executable, *words], cwd=pathlib.Path(paths.HOME), env=environment).returncode:
            failed.append(name)
    print("clean" if not failed else f"not clean: {', '.join(failed)}", flush=True)
    return 1 if failed else 0
