# SPDX-License-Identifier: Apache-2.0
"""Processes, signals, threads, futexes and timers on the real machine, and what they leave behind."""

from __future__ import annotations

import pytest
import world

pytestmark = pytest.mark.boot


@pytest.mark.parametrize("cpus", [1, 4])
def test_processes_signals_threads_and_timers_are_as_the_manual_pages_say(
        boot: world.Boot, programs: world.Programs, cpus: int) -> None:
    result = boot("sh", "-c", "processes; echo status $?", cpus=cpus,
                  entries=[*world.busybox_entries(), programs.entry("processes")])
    world.assert_sound(result)
    assert result.stdout == b"status 0\n", result.stdout


def test_no_operation_on_processes_leaves_objects_behind(boot: world.Boot, programs: world.Programs) -> None:
    """Neither done twenty times nor with each of its allocations failing."""
    result = boot("/bin/leaks", entries=[programs.entry("leaks")])
    world.assert_sound(result)
    assert (result.status, result.stdout) == (0, b""), result.stdout


@pytest.mark.parametrize("processor", ["max", "qemu64"])
def test_tasks_that_take_turns_keep_their_registers(
        boot: world.Boot, programs: world.Programs, processor: str) -> None:
    """With XSAVE and without: x87, MMX and vector registers, and nothing of another task's is seen."""
    result = boot("/bin/fpu", entries=[programs.entry("fpu")], extra=["-cpu", processor])
    world.assert_sound(result)
    assert (result.status, result.stdout) == (0, b"kept\n"), result.stdout


def test_tasks_that_take_turns_keep_their_segment_bases(boot: world.Boot, programs: world.Programs) -> None:
    """What the kernel notes of each interrupt, and of what is loaded, lies side by side for each processor."""
    result = boot("/bin/segment_bases", entries=[programs.entry("segment_bases")])
    world.assert_sound(result)
    assert (result.status, result.stdout) == (0, b"kept\n"), result.stdout
