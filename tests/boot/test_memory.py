# SPDX-License-Identifier: Apache-2.0
"""Little memory, no memory, and memory that fails on purpose."""

from __future__ import annotations

import pytest
import world

pytestmark = pytest.mark.boot


def test_sixteen_megabytes_boot_to_a_shell(boot: world.Boot) -> None:
    result = boot("sh", "-c", "echo here; ls /bin | wc -l; cat /proc/meminfo | head -n 1",
                  entries=world.busybox_entries(), memory="16M")
    world.assert_sound(result)
    assert result.status == 0 and result.stdout.startswith(b"here\n"), (result.stderr, result.log[-3000:])


@pytest.mark.parametrize("memory", ["8M", "64M"])
def test_a_small_program_runs(boot: world.Boot, programs: world.Programs, memory: str) -> None:
    result = boot("/bin/small", "hello", entries=[programs.entry("small")], memory=memory)
    world.assert_sound(result)
    assert (result.status, result.stdout) == (0, b"hello\n")


@pytest.mark.parametrize("memory", ["32M", "128M"])
def test_a_program_that_takes_all_memory_is_refused_or_killed_and_the_next_runs(
        boot: world.Boot, programs: world.Programs, memory: str) -> None:
    script = "eat; echo status $?; small the next one runs; seq 1 1000 | tail -n 1"
    result = boot("sh", "-c", script, memory=memory,
                  entries=[*world.busybox_entries(), programs.entry("eat"), programs.entry("small")])
    world.assert_sound(result)
    assert result.stdout.endswith(b"the next one runs\n1000\n"), (result.stdout, result.log[-3000:])
    assert b"status 137\n" in result.stdout or b"refused\nstatus 12\n" in result.stdout


@pytest.mark.parametrize("operation", ["fork", "execve", "mmap", "open", "pipe"])
def test_an_allocation_that_fails_leaves_nothing_behind(
        boot: world.Boot, programs: world.Programs, operation: str) -> None:
    result = boot("inject", operation, entries=[programs.entry("inject")])
    world.assert_sound(result)
    assert result.status == 0, result.stdout + result.stderr


@pytest.mark.parametrize("interval", [17, 101])
def test_a_shell_survives_when_every_nth_allocation_fails(boot: world.Boot, interval: int) -> None:
    result = boot("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do ls /bin | sort | md5sum; done; exit 0",
                  entries=world.busybox_entries(), append=f"kaa.failslab={interval}")
    world.assert_sound(result)
