# SPDX-License-Identifier: Apache-2.0
"""Threads on the real machine, on one processor and on several: sixty-four of them over every kind of lock, what ends
them, signals to them, futexes by the manual page. The programs check themselves; what they count is the host's."""

from __future__ import annotations

import subprocess

import pytest
import world

pytestmark = pytest.mark.boot

PARTS = ("mutexes", "robust", "conditions", "others", "storage", "endings", "signals", "looked-at")


@pytest.mark.parametrize("cpus", [1, 2, 4])
@pytest.mark.parametrize("part", PARTS)
def test_threads_count_what_they_count_on_the_host(
        kaa: world.Kaa, programs: world.Programs, part: str, cpus: int) -> None:
    path = str(programs.path("threads"))
    here = subprocess.run([path, part], capture_output=True, timeout=120)
    there = kaa(path, part, options=["--cpus", str(cpus)], timeout=240)
    assert (there.status, there.stdout) == (here.returncode, here.stdout) == (0, here.stdout), there


@pytest.mark.parametrize("cpus", [1, 2])
def test_threads_of_the_hosts_library_count_the_same(kaa: world.Kaa, programs: world.Programs, cpus: int) -> None:
    path = str(programs.with_glibc("threads"))
    for part in ("mutexes", "robust", "conditions", "storage"):
        here = subprocess.run([path, part], capture_output=True, timeout=120)
        there = kaa(path, part, options=["--cpus", str(cpus)], timeout=120)
        assert (there.status, there.stdout) == (0, here.stdout), there


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_futexes_are_as_the_manual_pages_say(kaa: world.Kaa, programs: world.Programs, cpus: int) -> None:
    there = kaa(str(programs.path("futexes")), options=["--cpus", str(cpus)], timeout=120)
    assert (there.status, there.stdout) == (0, b""), there


@pytest.mark.parametrize("cpus", [1, 2])
def test_restartable_sequences_are_aborted_when_preempted(
        kaa: world.Kaa, programs: world.Programs, cpus: int) -> None:
    there = kaa(str(programs.path("rseq")), options=["--cpus", str(cpus)], timeout=120)
    assert (there.status, there.stdout) == (0, b""), there


@pytest.mark.parametrize("cpus", [1, 2])
def test_descriptors_of_processes_are_as_the_manual_pages_say(
        kaa: world.Kaa, programs: world.Programs, cpus: int) -> None:
    there = kaa(str(programs.path("pidfds")), options=["--cpus", str(cpus)], timeout=60)
    assert (there.status, there.stdout) == (0, b""), there
