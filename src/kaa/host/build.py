# SPDX-License-Identifier: Apache-2.0
"""The kernel image build/kaa.elf through kaa.compiler, made only when a source changed.

The compiler makes build/debug/kaa.elf, with symbols, and keeps its objects and the C beside it; build/kaa.elf is that
image without what is not loaded.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from kaa.host import paths, sizes, unsafe_share
from kaa.host.errors import FAILED, Refusal
from kaa.host.strip import strip

STAMP = paths.BUILD / "kaa.stamp"
FLOORS = ("lang", "compiler", "kernel")


@dataclasses.dataclass(frozen=True)
class Report:
    """What `./kaa build` prints."""

    image: pathlib.Path
    seconds: float
    kind: str
    """cold: nothing was kept; rebuild: after a change; unchanged"""
    share: tuple[int, int]
    """What unsafe_share counted"""

    def show(self) -> None:
        unsafe, total = self.share
        print(f"{self.image.relative_to(paths.HOME)}: {self.kind} build in {self.seconds:.1f} s, image "
              f"{sizes.human(self.image.stat().st_size)}, {unsafe / total:.1%} of {total} lines may use raw addresses",
              flush=True)


def compiler(words: list[str]) -> int:
    """Calls the compiler's own command line (`--dump ir FILE:FUNCTION` is its `dump ir …`); its exit status."""
    if words[:1] == ["--dump"]:
        words = ["dump", *words[1:]]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PYTHONPATH"] = str(paths.SOURCES)
    command = [sys.executable, "-m", "kaa.compiler.cli", *words]
    return subprocess.run(command, env=environment, cwd=paths.HOME).returncode


def sources() -> Iterator[pathlib.Path]:
    """Every file that the image depends on."""
    for floor in FLOORS:
        for path in sorted((paths.PACKAGE / floor).rglob("*")):
            if path.suffix in (".py", ".ld", ".S", ".c", ".h"):
                yield path


def fingerprint(cc: str) -> str:
    """Changes when a source, or the C compiler asked for, does."""
    digest = hashlib.sha256(f"{cc} {sys.version_info}".encode())
    for path in sources():
        status = path.stat()
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest() + "\n"


def ensure() -> pathlib.Path:
    """The image, built when it is not there or not up to date. Raises Refusal when the build fails."""
    if not _fits(fingerprint("zig")):
        print("kaa: building the kernel", file=sys.stderr, flush=True)
        build(cc="zig")
    return paths.KERNEL


def is_current() -> bool:
    """Is the image of the sources as they are?"""
    return _fits(fingerprint("zig"))


def _fits(wanted: str) -> bool:
    try:
        return STAMP.read_text() == wanted and paths.KERNEL.is_file()
    except OSError:
        return False


def build(cc: str = "zig", clean: bool = False) -> Report:
    """Builds what changed. One build at a time: a second process waits and finds it done."""
    if clean:
        shutil.rmtree(paths.BUILD, ignore_errors=True)
    paths.BUILD.mkdir(exist_ok=True)
    with open(paths.BUILD / ".lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        wanted = fingerprint(cc)
        began = time.monotonic()
        if _fits(wanted):
            return Report(paths.KERNEL, 0.0, "unchanged", unsafe_share.count())
        kind = "rebuild" if paths.SYMBOLS.is_file() else "cold"
        STAMP.unlink(missing_ok=True)
        paths.SYMBOLS.parent.mkdir(exist_ok=True)
        with ThreadPoolExecutor(max_workers=1) as beside:  # the compiler begins on one core
            share = beside.submit(unsafe_share.count)
            if compiler(["build", "--cc", cc, "-o", str(paths.SYMBOLS)]):
                raise Refusal("the kernel does not build; the compiler's message is above", FAILED)
        fresh = paths.KERNEL.with_suffix(".new")
        fresh.write_bytes(strip(paths.SYMBOLS.read_bytes()))
        fresh.rename(paths.KERNEL)
        STAMP.write_text(wanted)
        return Report(paths.KERNEL, time.monotonic() - began, kind, share.result())
