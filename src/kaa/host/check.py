# SPDX-License-Identifier: Apache-2.0
"""`./kaa check`: ruff and pyright over the sources, in that order; then the house's own rules (tests/test_house.py)."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from kaa.host import paths

TOOLS: dict[str, list[str]] = {
    "ruff": ["-m", "ruff", "check", "src", "tests", "kaa"],
    "pyright": ["-m", "pyright", "--warnings"],
    "house rules": ["-m", "pytest", "-q", "tests/test_house.py", "-k", "not ruff and not pyright"],
}


def check() -> int:
    """Runs the tools and lets each say what it finds. 0 when none found anything, 1 otherwise."""
    failed: list[str] = []
    for name, words in TOOLS.items():
        if subprocess.run([sys.executable, *words], cwd=pathlib.Path(paths.HOME)).returncode:
            failed.append(name)
    print("clean" if not failed else f"not clean: {', '.join(failed)}", flush=True)
    return 1 if failed else 0
