# SPDX-License-Identifier: Apache-2.0
"""Threads that map, unmap, protect, move, forget and fork memory which other threads use on other processors."""

from __future__ import annotations

import pytest
import world

from kaa.host import cpio

pytestmark = pytest.mark.boot

MODES = ("faults", "areas", "flush", "unmapped", "forks", "file", "moves", "ends")


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_threads_find_memory_as_the_others_left_it(boot: world.Boot, programs: world.Programs, cpus: int) -> None:
    entries = [cpio.directory("tmp"), cpio.directory("bin"), programs.entry("memory_threads")]
    result = boot("/bin/memory_threads", "0.4", "4", entries=entries, cpus=cpus, timeout=120)
    world.assert_sound(result)
    assert (result.status, result.stdout) == (0, b""), result.stdout


@pytest.mark.parametrize("mode", MODES)
def test_short_of_memory_the_promises_hold_too(boot: world.Boot, programs: world.Programs, mode: str) -> None:
    """Every 50th allocation fails: calls may say ENOMEM, which the program tells as failures of its own, but no store
    is lost and nothing traps."""
    entries = [cpio.directory("tmp"), cpio.directory("bin"), programs.entry("memory_threads")]
    result = boot("/bin/memory_threads", "0.2", "3", mode, entries=entries, cpus=2, append="kaa.failslab=50",
                  timeout=120)  # fmt: skip
    world.assert_sound(result)


def test_sixteen_megabytes_are_enough_for_four_processors(boot: world.Boot, programs: world.Programs) -> None:
    entries = [cpio.directory("tmp"), cpio.directory("bin"), programs.entry("memory_threads")]
    result = boot("/bin/memory_threads", "0.2", "4", "areas", "faults", entries=entries, cpus=4, memory="16M",
                  timeout=120)  # fmt: skip
    world.assert_sound(result)
    assert (result.status, result.stdout) == (0, b""), result.stdout
