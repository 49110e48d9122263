# SPDX-License-Identifier: Apache-2.0
"""Calls that the kernel does not have, from several processors at once."""

from __future__ import annotations

import re

import pytest
import world

pytestmark = pytest.mark.boot


def test_processors_that_ask_at_once_are_told_of_once(boot: world.Boot, programs: world.Programs) -> None:
    result = boot("unknown_calls", entries=[programs.entry("unknown_calls")], cpus=4)
    world.assert_sound(result)
    assert (result.status, result.stdout) == (0, b"refused\n"), result
    told = [int(number) for number in re.findall(r"unknown_calls: system call (\d+) is not", result.log)]
    assert sorted(told) == list(range(1000, 1200)), told
