# SPDX-License-Identifier: Apache-2.0
"""Kernels of another flavour (kaa.lang.flavour), each in a folder of its own under build/, built when a source
changed."""

from __future__ import annotations

import fcntl
import os
import pathlib
import subprocess
import sys

from kaa.host import build, paths
from kaa.host.errors import FAILED, Refusal
from kaa.host.strip import strip

LOCK_STATS = "KAA_LOCK_STATS"
STANDARD_ERROR = 2


def ensure(variable: str) -> pathlib.Path:
    """The image that is built with this variable in the environment. Raises Refusal when the build fails."""
    folder = paths.BUILD / variable.removeprefix("KAA_").lower().replace("_", "-")
    folder.mkdir(parents=True, exist_ok=True)
    image, stamp = folder / "kaa.elf", folder / "kaa.stamp"
    with open(folder / ".lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        wanted = build.fingerprint(variable)
        if image.is_file() and stamp.is_file() and stamp.read_text() == wanted:
            return image
        print("kaa: building a kernel that counts its locks", file=sys.stderr, flush=True)
        stamp.unlink(missing_ok=True)
        symbols = folder / "debug" / "kaa.elf"
        symbols.parent.mkdir(exist_ok=True)
        if _compile(symbols, variable):
            raise Refusal("the kernel does not build; the compiler's message is above", FAILED)
        image.write_bytes(strip(symbols.read_bytes()))
        stamp.write_text(wanted)
    return image


def _compile(symbols: pathlib.Path, variable: str) -> int:
    """Calls the compiler; what it says goes to standard error, for standard output is the command's."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {"PYTHONPATH": str(paths.SOURCES), variable: "1"}
    command = [sys.executable, "-m", "kaa.compiler.cli", "build", "-o", str(symbols)]
    return subprocess.run(command, env=environment, cwd=paths.HOME, stdout=STANDARD_ERROR).returncode
