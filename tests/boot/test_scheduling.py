# SPDX-License-Identifier: Apache-2.0
"""Scheduling as programs see it: shares, priorities, processors, on one, two and four of these; and schedules that vary
with a seed. programs/scheduling.c has the checks."""

from __future__ import annotations

import pathlib

import pytest
import world

pytestmark = pytest.mark.boot

EVERYWHERE = ["nice", "pinned", "move", "realtime", "roundrobin", "idle", "yield", "calls", "schedstat", "rights"]


def check(boot: world.Boot, programs: world.Programs, words: list[str], cpus: int) -> None:
    """Each check prints its name; one that fails prints what it found. A loaded host gets a second try: guest time goes
    on while the host runs something else."""
    left = words
    for _ in range(3):
        result = boot("/bin/scheduling", *left, entries=[programs.entry("scheduling")], cpus=cpus, timeout=120)
        world.assert_sound(result)
        said = result.stdout.decode()
        left = [word for word in left if f"{word} ok\n" not in said]
        if not left:
            return
    pytest.fail(f"{left}: {said}")


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_policies_priorities_and_affinity_hold(boot: world.Boot, programs: world.Programs, cpus: int) -> None:
    check(boot, programs, EVERYWHERE, cpus)


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_spinning_threads_share_all_processors_evenly(boot: world.Boot, programs: world.Programs, cpus: int) -> None:
    check(boot, programs, ["share"], cpus)


@pytest.mark.parametrize("cpus", [2, 4])
def test_as_many_busy_processes_as_processors_keep_all_busy(
    boot: world.Boot, programs: world.Programs, cpus: int
) -> None:
    check(boot, programs, ["busy"], cpus)


def test_real_time_leaves_a_twentieth(boot: world.Boot, programs: world.Programs) -> None:
    check(boot, programs, ["bandwidth"], 1)


def order(kernel: pathlib.Path, programs: world.Programs, cpus: int, append: str) -> str:
    """The order in which four threads came, under icount."""
    came, ok = world.under_icount(kernel, programs, "scheduling", "order", cpus, append)
    assert ok == "order ok"
    return came


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_seed_repeats_its_schedule_and_another_gives_another(
    kernel: pathlib.Path, programs: world.Programs, cpus: int
) -> None:
    first, again, other = (order(kernel, programs, cpus, f"kaa.schedule_seed={n}") for n in (1, 1, 2))
    assert first == again
    assert first != other
    plain = order(kernel, programs, cpus, "")
    assert int(first.split()[2]) > int(plain.split()[2]), (first, plain)
