# SPDX-License-Identifier: Apache-2.0
"""Scheduling as programs see it: shares, priorities, processors, on one, two and four of these; and schedules that vary
with a seed. programs/scheduling.c has the checks."""

from __future__ import annotations

import pathlib

import pytest
import world

from kaa.host.machine import Machine

pytestmark = pytest.mark.boot

EVERYWHERE = ["nice", "pinned", "move", "realtime", "roundrobin", "idle", "yield", "calls", "rights"]
ICOUNT = ["-icount", "shift=0,sleep=off", "-rtc", "base=2024-01-01,clock=vm", "-seed", "1"]


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
    """The order in which four threads came, under icount. The program is process 1 of a machine that has a console and
    no other stream: what a device answers comes at the host's time, not the machine's."""
    folders = [world.cpio.directory(name) for name in ("bin", "dev", "proc", "tmp")]
    console = world.cpio.character_device("dev/console", 5, 1, 0o600)
    archive = world.cpio.write([*folders, console, programs.entry("scheduling")])
    words = f"console=ttyS0 kaa.exit=debug panic=-1 rdinit=/bin/scheduling {append} -- order"
    with Machine(
        kernel, initrd=archive, append=words, memory="128M", cpus=cpus, extra=ICOUNT, rng=False, streams="none",
        timeout=120,
    ) as guest:  # fmt: skip
        result = guest.run()
    world.assert_sound(result)
    assert result.status == 0, result.log[-2000:]
    came, ok = (line for line in result.log.splitlines() if line.startswith("order "))
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
