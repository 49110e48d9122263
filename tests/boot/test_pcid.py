# SPDX-License-Identifier: Apache-2.0
"""Slots of address spaces on a booted machine. QEMU's processors have no tags, so that translations never outlive a
switch here (kaa.pcid=dry): what is tried is that slots say truly what a processor with the memory loaded still has to
forget. The tags themselves are the model's (tests/kernel/arch/test_pcid.py)."""

from __future__ import annotations

import pytest
import world

pytestmark = pytest.mark.boot


@pytest.mark.parametrize("trial", ["protect", "replace", "copy", "map", "threads"])
@pytest.mark.parametrize("count", [1, 4])
def test_what_slots_say_is_forgotten_is_forgotten(
    boot: world.Boot, programs: world.Programs, trial: str, count: int
) -> None:
    result = boot("/bin/cpus", trial, entries=[programs.entry("cpus")], cpus=count, memory="256M",
                  append="kaa.pcid=dry", timeout=120)  # fmt: skip
    world.assert_sound(result)
    assert result.stdout.decode() == f"{count} processors\n{trial} ok\n" and result.status == 0, result.stderr


@pytest.mark.parametrize("word", ["off", "dry"])
def test_programs_start_and_end_on_several_processors(kaa: world.Kaa, word: str) -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do (cat /proc/version | wc -l) & done; wait; echo $(seq 9 | sort -r)"
    ended = kaa("bash", "-c", script, options=["--cpus", "3", "--append", f"kaa.pcid={word}"], timeout=60)
    assert ended.stdout.decode().split() == ["1"] * 8 + list("987654321") and ended.status == 0, ended
