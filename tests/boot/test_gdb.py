# SPDX-License-Identifier: Apache-2.0
"""`./kaa gdb` stops at a Python line, prints a local, and lists the tasks."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import pytest
import test_wrong_input
import world

pytestmark = pytest.mark.boot


def test_batch_mode_stops_at_a_line_and_prints_a_local(kernel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert shutil.which("gdb"), "this test needs gdb (apt-get install gdb)"
    line = test_wrong_input.line_of("return stack(depth + 1)")
    place = f"kaa/kernel/init/planted_bugs.py:{line}"
    commands = ["continue", "print depth", "backtrace 3", "kaa-tasks", "continue", "print depth"]
    words = world.kaa_words("gdb", "--timeout", "60", "--append", "kaa.bug=stack", "--batch", "-b", place,
                            *(word for command in commands for word in ("-ex", command)), "/bin/true")
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=90, env=world.ENVIRONMENT)
    assert f"planted_bugs.py:{line}" in done.stdout, done.stdout + done.stderr
    assert "return stack(depth + 1)" in done.stdout
    assert "depth = 0\n" in done.stdout and "depth = 1\n" in done.stdout, done.stdout + done.stderr
    assert "pid 1 init: state 0" in done.stdout, done.stdout + done.stderr
