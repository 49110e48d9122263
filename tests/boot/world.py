# SPDX-License-Identifier: Apache-2.0
"""What the booted tests are made of: roots, programs, machines, and `./kaa run` as a process."""

from __future__ import annotations

import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pytest

from kaa.host import c_programs, cpio, paths
from kaa.host.machine import Machine, Result
from kaa.host.request import Request

PROGRAMS = pathlib.Path(__file__).parent / "programs"
TARGET = "x86_64-linux-musl"
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C", "TZ": "UTC", "TERM": "dumb",
}
BOOT_SECONDS = 60.0
TRACEBACK = "Traceback (most recent call last):"


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    stdout: bytes
    stderr: bytes


Same = Callable[..., Ended]


def kaa_words(*words: str) -> list[str]:
    """`./kaa WORDS`, by the interpreter that runs the tests and without its PYTHON… variables."""
    start = f"import sys; sys.path.insert(0, {str(paths.SOURCES)!r}); from kaa.host.__main__ import main; main()"
    return [sys.executable, "-I", "-c", start, *words]


class Kaa:
    """Calls `./kaa run --accel tcg OPTIONS CMD` in a folder."""

    def __init__(self, kernel: pathlib.Path, folder: pathlib.Path) -> None:
        self.kernel = kernel
        self.folder = folder

    def words(self, *words: str, options: Sequence[str] = ()) -> list[str]:
        return kaa_words("run", "--accel", "tcg", "--kernel", str(self.kernel), *options, *words)

    def _shared(self, word: str) -> str:
        """A test program's path, in the shared folder: a checkout below /tmp is covered in the guest."""
        program = pathlib.Path(word)
        if program.parent != Programs.FOLDER or not program.is_file():
            return word
        return shutil.copy(program, self.folder)

    def __call__(self, *words: str, options: Sequence[str] = (), stdin: bytes = b"", timeout: float = BOOT_SECONDS,
                 environment: Mapping[str, str] | None = None) -> Ended:
        limited = ["--timeout", f"{timeout:g}", *options]
        reachable = [self._shared(word) for word in words]
        command = self.words(*reachable, options=limited)
        done = subprocess.run(command, input=stdin, capture_output=True, cwd=self.folder,
                              timeout=timeout + 20, env=dict(environment or ENVIRONMENT))
        return Ended(done.returncode, done.stdout, done.stderr)


class Programs:
    """Builds tests/boot/programs/NAME.c on first use; kept in build/tests between runs."""

    FOLDER = paths.BUILD / "tests"

    def __init__(self) -> None:
        self.FOLDER.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> pathlib.Path:
        """The program, with a C library of its own."""
        flags = ["-target", TARGET, "-O1", "-static", "-s", "-Wall", "-Werror"]
        return self._built(name, name, flags)

    def with_glibc(self, name: str) -> pathlib.Path:
        """The program with the host's C library, whose locks use more of the kernel (robust lists, rseq)."""
        if shutil.which("gcc") is None:
            pytest.skip("needs gcc")
        return self._built(name, f"{name}-glibc", ["-O1", "-static", "-pthread", "-w"], ["gcc"])

    def _built(
        self, name: str, output: str, flags: Sequence[str], compiler: Sequence[str] = c_programs.ZIG
    ) -> pathlib.Path:
        """One test at a time compiles; the others find it done."""
        with open(self.FOLDER / ".lock", "w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            return c_programs.built(PROGRAMS / f"{name}.c", self.FOLDER / output, flags, compiler)

    def entry(self, name: str) -> cpio.Entry:
        return cpio.program(f"bin/{name}", self.path(name).read_bytes())


def busybox() -> bytes:
    """Debian's static busybox; installed if it is missing."""
    path = shutil.which("busybox")
    assert path is not None, "these tests need busybox-static (apt-get install busybox-static)"
    return pathlib.Path(path).read_bytes()


def busybox_entries() -> list[cpio.Entry]:
    """A root with busybox under all of its names, and the folders and accounts that programs look for."""
    binary = busybox()
    path = shutil.which("busybox") or "busybox"
    names = subprocess.run([path, "--list"], capture_output=True, text=True, check=True).stdout.split()
    folders = [cpio.directory(name) for name in ("bin", "dev", "etc", "proc", "root", "run", "sys", "var")]
    return [*folders, cpio.directory("tmp", 0o1777), cpio.directory("var/tmp", 0o1777),
            cpio.character_device("dev/console", 5, 1, 0o600), cpio.character_device("dev/null", 1, 3),
            cpio.regular("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
            cpio.regular("etc/group", b"root:x:0:\nnogroup:x:65534:\n"),
            cpio.program("bin/busybox", binary),
            *(cpio.symlink(f"bin/{name}", "busybox") for name in sorted(set(names) - {"busybox"}))]


class Boot:
    """Boots the kernel with a root of cpio entries and runs a command in it."""

    def __init__(self, kernel: pathlib.Path) -> None:
        self.kernel = kernel

    def __call__(self, *argv: str, entries: Sequence[cpio.Entry] = (), after: bytes = b"", append: str = "",
                 memory: str = "128M", machine: str = "microvm", stdin: bytes = b"", timeout: float = BOOT_SECONDS,
                 uid: int = 0, cpus: int = 1, extra: Sequence[str] = ()) -> Result:
        """`after` is appended to the archive as it is, `extra` to QEMU's words. The environment is ENVIRONMENT
        with PATH=/bin."""
        path = argv[0] if "/" in argv[0] else f"/bin/{argv[0]}"
        environment = {**ENVIRONMENT, "PATH": "/bin"}
        request = Request(argv, path, cwd="/", environment=environment, uid=uid, gid=uid, tmpfs=["/tmp"])
        folders = [cpio.directory("bin"), cpio.directory("dev"), cpio.directory("proc"), cpio.directory("tmp", 0o1777)]
        archive = cpio.write([*folders, *entries]) + request.archive() + after
        words = f"console=ttyS0 kaa.exit=debug kaa.run panic=-1 {append}".strip()
        with Machine(self.kernel, initrd=archive, append=words, memory=memory, machine=machine,
                     cpus=cpus, timeout=timeout, extra=extra) as guest:
            return guest.run(stdin)


ICOUNT = ["-icount", "shift=0,sleep=off", "-rtc", "base=2024-01-01,clock=vm", "-seed", "1"]
"""QEMU's words for a machine whose time is a count of instructions."""


def under_icount(
    kernel: pathlib.Path, programs: Programs, program: str, word: str, cpus: int, append: str
) -> list[str]:
    """The lines that begin with `word`, of those a test program prints for this argument, where time is a count of
    instructions. It is process 1 of a machine that has a console and no other stream: what a device answers comes at
    the host's time, not the machine's. It must exit with status 0, on a kernel that stays sound."""
    folders = [cpio.directory(name) for name in ("bin", "dev", "proc", "tmp")]
    console = cpio.character_device("dev/console", 5, 1, 0o600)
    archive = cpio.write([*folders, console, programs.entry(program)])
    words = f"console=ttyS0 kaa.exit=debug panic=-1 rdinit=/bin/{program} {append} -- {word}"
    with Machine(
        kernel, initrd=archive, append=words, memory="128M", cpus=cpus, extra=ICOUNT, rng=False, streams="none",
        timeout=120,
    ) as guest:  # fmt: skip
        result = guest.run()
    assert_sound(result)
    assert result.status == 0, (append, cpus, result.log[-2000:])
    return [line for line in result.log.splitlines() if line.startswith(word)]


def assert_sound(result: Result) -> None:
    """The kernel said no traceback and ended in order."""
    assert TRACEBACK not in result.log, result.log[-6000:]
    assert not result.timed_out, f"it did not end\n{result.log[-3000:]}"
    assert result.status is not None, f"it ended without a status: {result.complaint}\n{result.log[-6000:]}"


def python3() -> str:
    """The host's python3: the system's, or else whichever runs the tests."""
    return "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else os.path.realpath(sys.executable)
