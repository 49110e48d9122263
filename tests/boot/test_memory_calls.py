# SPDX-License-Identifier: Apache-2.0
"""mmap and its kin, page faults and their signals, on the real machine: the same program runs on the host too."""

from __future__ import annotations

import pytest
import world

from kaa.host import cpio

pytestmark = pytest.mark.boot


def test_memory_calls_are_as_the_manual_pages_say(boot: world.Boot, programs: world.Programs) -> None:
    entries = [cpio.directory("tmp"), cpio.directory("bin"), programs.entry("memory_calls")]
    result = boot("/bin/memory_calls", entries=entries)
    world.assert_sound(result)
    assert (result.status, result.stdout) == (0, b""), result.stdout


def test_another_process_s_memory_is_read_and_written(boot: world.Boot, programs: world.Programs) -> None:
    entries = [cpio.directory("tmp"), cpio.directory("bin"), programs.entry("remote_memory")]
    result = boot("/bin/remote_memory", entries=entries)
    world.assert_sound(result)
    assert (result.status, result.stdout) == (0, b""), result.stdout
