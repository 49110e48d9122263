# SPDX-License-Identifier: Apache-2.0
"""What the person did wrong is told in one sentence; what the kernel did wrong with its traceback."""

from __future__ import annotations

import pathlib

import pytest
import world

from kaa.host import paths

pytestmark = pytest.mark.boot
SPECIMENS = paths.PACKAGE / "kernel/init/planted_bugs.py"
BUGS = {
    "overflow": ("overflow", "specimen.small + u8(1)", "OverflowError"),
    "index": ("index", "return specimen.numbers[specimen.place]", "IndexError"),
    "none": ("none", "return one.next.zero", "AttributeError"),
    "divide": ("divide", "return u64(1) // specimen.zero", "ZeroDivisionError"),
    "assert": ("failed_assertion", "assert specimen.zero == 1", "AssertionError: zero is not one"),
    "stack": ("stack", "return stack(depth + 1)", "stack overflow"),
}


def line_of(text: str) -> int:
    """The number of the line of planted_bugs.py that has `text`."""
    return next(number for number, line in enumerate(SPECIMENS.read_text().splitlines(), 1) if text in line)


@pytest.mark.parametrize("kind", BUGS)
def test_a_planted_bug_prints_a_python_traceback(boot: world.Boot, kind: str) -> None:
    function, source, error = BUGS[kind]
    result = boot("/bin/true", append=f"kaa.bug={kind}")
    assert result.panicked, f"status {result.status}\n{result.log[-3000:]}"
    assert world.TRACEBACK in result.log, result.log[-3000:]
    trace = result.log[result.log.index(world.TRACEBACK):]
    assert f'planted_bugs.py", line {line_of(source)}, in {function}' in trace, trace[:3000]
    assert source in trace and error in trace, trace[:3000]
    if kind != "stack":
        assert "in commit" in trace, trace[:3000]
        assert trace.index("in commit") < trace.index(f"in {function}"), "innermost is not last"


def test_a_kernel_that_stops_is_told(kaa: world.Kaa) -> None:
    ended = kaa("true", options=["--append", "kaa.bug=index"])
    assert ended.status == 125 and world.TRACEBACK.encode() in ended.stderr
    assert b"the kernel stopped" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("content, status", [(b"\x7fELF damaged", 126), (b"#!/no/such/interpreter\n", 127)])
def test_a_file_that_cannot_be_executed(kaa: world.Kaa, tmp_path: pathlib.Path, content: bytes, status: int) -> None:
    (tmp_path / "tool").write_bytes(content)
    (tmp_path / "tool").chmod(0o755)
    ended = kaa("./tool")
    assert ended.status == status and ended.stderr.count(b"\n") == 1, ended.stderr


def test_an_unknown_system_call_is_one_log_line(kaa: world.Kaa) -> None:
    script = ("import ctypes; c = ctypes.CDLL(None, use_errno=True); "
              "print([c.syscall(499) for _ in range(3)], ctypes.get_errno())")
    ended = kaa(world.python3(), "-c", script, options=["-v"])
    assert ended.stdout == b"[-1, -1, -1] 38\n"
    assert ended.stderr.count(b"system call 499") == 1
