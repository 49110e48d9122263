# SPDX-License-Identifier: Apache-2.0
"""System calls whose numbers overflow in a careless kernel: each is answered by an errno, and the machine goes on."""

from __future__ import annotations

import pytest
import world

from kaa.host import cpio

pytestmark = pytest.mark.boot


def test_no_number_of_a_caller_stops_the_machine(boot: world.Boot, programs: world.Programs) -> None:
    entries = [cpio.directory("tmp"), cpio.directory("bin"), programs.entry("hostile_numbers")]
    result = boot("/bin/hostile_numbers", entries=entries)
    world.assert_sound(result)
    assert (result.status, result.stdout) == (0, b""), result.stdout
