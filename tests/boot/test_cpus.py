# SPDX-License-Identifier: Apache-2.0
"""Several processors: they start, programs see and use them, translations are forgotten everywhere, and a panic on one
stops all."""

from __future__ import annotations

import pathlib
import re

import pytest
import world

pytestmark = pytest.mark.boot
SECONDS = 10.0
"""A machine of 64 processors is up within that time, in each of a few tries: whoever runs the tests has other work."""


def started(result: world.Result) -> str:
    """What the log says of processors."""
    found = re.search(r"(\d+ of \d+) processors run", result.log)
    return found[1] if found else "none"


@pytest.mark.parametrize("machine", ["microvm", "q35", "pc"])
@pytest.mark.parametrize("count", [2, 3])
def test_all_processors_start(boot: world.Boot, programs: world.Programs, machine: str, count: int) -> None:
    result = boot("/bin/cpus", "spread", entries=[programs.entry("cpus")], cpus=count, machine=machine, timeout=60)
    world.assert_sound(result)
    assert started(result) == f"{count} of {count}"
    assert result.stdout.decode() == f"{count} processors\nspread ok\n" and result.status == 0


def test_64_processors_start(boot: world.Boot, programs: world.Programs) -> None:
    seconds: list[float] = []
    while len(seconds) < 3 and min(seconds, default=SECONDS + 1) > SECONDS:
        result = boot("/bin/cpus", "pinned", entries=[programs.entry("cpus")], cpus=64, timeout=100)
        world.assert_sound(result)
        assert started(result) == "64 of 64"
        assert result.stdout.decode() == "64 processors\npinned ok\n" and result.status == 0
        seconds.append(result.seconds)
    assert min(seconds) <= SECONDS, seconds


@pytest.mark.parametrize("word, count", [("nosmp", 1), ("maxcpus=1", 1), ("maxcpus=2", 2), ("maxcpus=9", 3)])
def test_the_command_line_leaves_processors_out(
    boot: world.Boot, programs: world.Programs, word: str, count: int
) -> None:
    result = boot("/bin/cpus", "pinned", entries=[programs.entry("cpus")], cpus=3, append=word, timeout=60)
    world.assert_sound(result)
    assert result.stdout.decode() == f"{count} processors\npinned ok\n" and result.status == 0


def test_programs_are_told_how_many_there_are(kaa: world.Kaa, busybox_root: pathlib.Path) -> None:
    script = (
        "nproc; grep -c ^processor /proc/cpuinfo; ls -d /sys/devices/system/cpu/cpu[0-9]* | wc -l;"
        "cd /sys/devices/system/cpu; cat online possible present; grep CPU0.*CPU3 /proc/interrupts | wc -l"
    )
    ended = kaa("sh", "-c", script, options=["--cpus", "4", "--root", str(busybox_root)])
    assert ended.stdout.decode().split() == ["4", "4", "4", "0-3", "0-3", "0-3", "1"], ended


@pytest.mark.parametrize("trial", ["spread", "pinned", "protect", "replace", "copy", "map", "clock", "threads"])
@pytest.mark.parametrize("count", [2, 4])
def test_several_processors_share_one_memory(
    boot: world.Boot, programs: world.Programs, trial: str, count: int
) -> None:
    """What each trial does is told in programs/cpus.c."""
    result = boot("/bin/cpus", trial, entries=[programs.entry("cpus")], cpus=count, memory="256M", timeout=120)
    world.assert_sound(result)
    assert result.stdout.decode() == f"{count} processors\n{trial} ok\n" and result.status == 0, result.stderr


@pytest.mark.parametrize("processors", [1 << 2, 1 << 0, 0b110])
def test_a_panic_stops_all_and_is_printed_once(boot: world.Boot, processors: int) -> None:
    """On another processor than the one that boots, on that one, and on two at the same time."""
    result = boot("/bin/true", append=f"kaa.bug=divide kaa.bug-on={processors}", cpus=3, timeout=60)
    assert result.panicked and result.log.count(world.TRACEBACK) == 1, result.log[-3000:]
    trace = result.log[result.log.index(world.TRACEBACK) :]
    assert "ZeroDivisionError: division by zero" in trace and "in divide" in trace
    told = re.search(r"^CPU (\d+), task ", trace, re.MULTILINE)
    assert told is not None and processors >> int(told[1]) & 1 == 1, trace
    assert trace.rstrip().endswith("Kernel panic: the machine stops."), trace[-500:]
