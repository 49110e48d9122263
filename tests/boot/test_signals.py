# SPDX-License-Identifier: Apache-2.0
"""Signals on the real machine: handlers, masks, stacks, queues, job control, interrupted calls, faults. The program
(programs/signals.c) checks itself, and says the same on the host."""

from __future__ import annotations

import subprocess

import pytest
import world

pytestmark = pytest.mark.boot

PARTS = ("handlers", "stacks", "queues", "targets", "jobs", "interrupted", "threads", "faults")


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_signals_are_as_the_manual_pages_say(kaa: world.Kaa, programs: world.Programs, cpus: int) -> None:
    path = str(programs.path("signals"))
    here = subprocess.run([path], capture_output=True, timeout=120)
    there = kaa(path, options=["--cpus", str(cpus)], timeout=120)
    assert (there.status, there.stdout) == (0, here.stdout), there
    assert b"FAIL" not in here.stdout, "the test is wrong: the host fails it too"


@pytest.mark.parametrize("part", PARTS)
def test_each_part_stands_alone(kaa: world.Kaa, programs: world.Programs, part: str) -> None:
    there = kaa(str(programs.path("signals")), part, timeout=60)
    assert there.status == 0, there
