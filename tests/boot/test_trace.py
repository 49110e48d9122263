# SPDX-License-Identifier: Apache-2.0
"""`./kaa trace` as a person calls it: the command's own output and status, tables, pictures."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess

import pytest
import world

from kaa.host.errors import FAILED

pytestmark = pytest.mark.boot

WORK = "for i in 1 2 3; do seq 1 20000 | sort -n | tail -1 & done; wait; exit 3"


def traced(folder: pathlib.Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    """./kaa trace of WORK on four processors."""
    words = world.kaa_words("trace", *options, "--cpus", "4", "--timeout", "100", "sh", "-c", WORK)
    return subprocess.run(words, capture_output=True, cwd=folder, timeout=400, env=world.ENVIRONMENT)


def test_sched_shows_who_ran_where(kernel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = traced(tmp_path, "--sched", "--kernel", str(kernel))
    assert (done.returncode, done.stdout) == (3, b"20000\n" * 3), done.stderr[-2000:]
    assert b"sort" in done.stderr and b"kaa-sched.html" in done.stderr
    page = (tmp_path / "kaa-sched.html").read_text()
    assert "<svg" in page and "CPU 3" in page and "sort" in page
    events = json.loads((tmp_path / "kaa-sched.json").read_text())["traceEvents"]
    boxes = [event for event in events if event["ph"] == "X"]
    assert {event["name"].split()[0] for event in boxes} >= {"sh", "seq", "sort"}
    assert len({event["tid"] for event in boxes}) > 1, "all ran on one processor"
    assert any(event["cat"] == "wake" for event in events if event["ph"] == "i")
    for cpu in range(4):
        row = sorted((event["ts"], event["dur"]) for event in boxes if event["tid"] == cpu)
        for (start, length), (following, _) in zip(row, row[1:], strict=False):
            assert start + length <= following + 0.01, "two tasks at once on one processor"


def test_locks_counts_classes(tmp_path: pathlib.Path) -> None:
    done = traced(tmp_path, "--locks", "-o", "l")
    assert (done.returncode, done.stdout) == (3, b"20000\n" * 3), done.stderr[-2000:]
    assert b"run queue" in done.stderr and b"pipe" in done.stderr
    assert "page table" in (tmp_path / "l.html").read_text()


def test_sharing_names_the_source_lines(tmp_path: pathlib.Path) -> None:
    """Processes that begin and end on four processors share a table of numbers."""
    done = traced(tmp_path, "--sharing")
    assert (done.returncode, done.stdout) == (3, b"20000\n" * 3), done.stderr[-2000:]
    shown = done.stderr.decode()
    assert "cache lines that moved between processors" in shown
    assert re.search(r"kernel/[a-z_/]+\.py:\d+ \w+", shown), shown
    moved = [int(row[1].replace(",", "")) for row in re.findall(r"^(│) *([\d,]+) │", shown, re.MULTILINE)]
    assert moved == sorted(moved, reverse=True) and moved[0] > 0


def test_a_kernel_that_does_not_count_is_told(kernel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = traced(tmp_path, "--locks", "--kernel", str(kernel))
    assert done.returncode == FAILED
    assert done.stderr.decode().splitlines()[-1].startswith("kaa: the kernel gave no locks trace")
