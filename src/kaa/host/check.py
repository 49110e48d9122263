# SPDX-License-Identifier: Apache-2.0
"""`./kaa check`: ruff over the sources and the compiler's proofs about the kernel, without building it: seconds. With
`--all` also pyright and the house's own rules (tests/test_house.py). All run beside each other."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from kaa.host import paths

QUICK: dict[str, list[str]] = {
    "ruff": ["-m", "ruff", "check", "--quiet", "src", "tests", "kaa"],
}
SLOW: dict[str, list[str]] = {
    "pyright": ["-m", "kaa.host.strict_types"],
    "house rules": ["-m", "pytest", "-q", "tests/test_house.py", "-k", "not ruff and not pyright"],
}


def _proofs() -> list[str]:
    """The proofs; with the last build's frames, for the stacks', if it is of these sources."""
    from kaa.host import build

    linked = paths.SYMBOLS.with_name(f"{paths.SYMBOLS.stem}-zig") / "linked.elf"
    sizes = ["--sizes", str(linked)] if build.is_current() and linked.is_file() else []
    return ["-m", "kaa.compiler.cli", "prove", *sizes]


def _run(tools: dict[str, list[str]]) -> list[str]:
    """Runs the tools at once, shows what each says as one piece; the names of those that found something."""
    environment = {**os.environ, "PYTHONPATH": str(paths.SOURCES)}
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        begun: dict[str, subprocess.Popen[bytes]] = {}
        for name, words in tools.items():
            with open(f"{folder}/{name}", "wb") as said:
                begun[name] = subprocess.Popen([sys.executable, *words], cwd=paths.HOME, env=environment, stdout=said,
                                               stderr=subprocess.STDOUT)
        for name, process in begun.items():
            if process.wait():
                failed.append(name)
            with open(f"{folder}/{name}") as said:
                print(said.read(), end="", flush=True)
    return failed


def check(everything: bool) -> int:
    """Runs the tools. 0 when none found anything, 1 otherwise."""
    failed = _run({**QUICK, "proofs": _proofs(), **(SLOW if everything else {})})
    print("clean" if not failed else f"not clean: {', '.join(failed)}", flush=True)
    return 1 if failed else 0
