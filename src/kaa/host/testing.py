# SPDX-License-Identifier: Apache-2.0
"""`./kaa test`: the kernel is built, then pytest runs everything, the cheapest first, on two processes. Its summary is
the last line."""

from __future__ import annotations

import os
import subprocess
import sys

from kaa.host import build, installing, paths
from kaa.host.errors import Refusal

WORKERS = "2"


def test(words: list[str]) -> int:
    """pytest's exit status. A kernel that does not build is told, and then fails the tests that need it."""
    installing.ensure_test_programs()
    try:
        build.ensure()
    except Refusal as refusal:
        print(f"kaa: {refusal}", file=sys.stderr, flush=True)
    parallel = [] if any(word.startswith(("-n", "--pdb", "--collect-only")) for word in words) else ["-n", WORKERS]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [sys.executable, "-m", "pytest", *parallel, *words]
    return subprocess.run(command, cwd=paths.HOME, env=environment).returncode
