# SPDX-License-Identifier: Apache-2.0
"""C programs of ours that run on the host or as a guest's program, compiled on first use."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from kaa.host import paths
from kaa.host.errors import FAILED, Refusal

ZIG = (sys.executable, "-m", "ziglang", "cc")
"""The ziglang wheel's."""
CACHE = paths.BUILD / "zig"
"""What the compiler keeps between its runs: in the checkout, not in the user's home folder, which may not be there."""


def built(
    source: pathlib.Path, output: pathlib.Path, flags: Sequence[str], compiler: Sequence[str] = ZIG
) -> pathlib.Path:
    """`output`, compiled from `source` if that or a header beside it is newer. Raises Refusal with what the compiler
    said."""
    newest = max(file.stat().st_mtime for file in (source, *source.parent.glob("*.h")))
    if output.exists() and output.stat().st_mtime >= newest:
        return output
    output.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(CACHE), "ZIG_LOCAL_CACHE_DIR": str(CACHE)}
    words = [*compiler, *flags, "-o", str(output), str(source)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise Refusal(f"{source.name} could not be compiled:\n{done.stderr}", FAILED)
    return output
