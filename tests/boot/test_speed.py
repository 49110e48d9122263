# SPDX-License-Identifier: Apache-2.0
"""How fast and how small: the boot and the image. The rows beside Linux are `./kaa bench linux`'s
(docs/performance.md)."""

from __future__ import annotations

import pathlib

import pytest
import world

pytestmark = pytest.mark.boot
IMAGE_AT_MOST = 1.5 * (1 << 20)
BOOT_SECONDS_AT_MOST = 0.15


def test_the_image_is_small(kernel: pathlib.Path) -> None:
    assert kernel.stat().st_size <= IMAGE_AT_MOST


def test_the_boot_is_quick(boot: world.Boot, programs: world.Programs) -> None:
    """The best of several: the machine that runs the tests has other work too. Includes QEMU's start and end."""
    entries = [programs.entry("small")]
    runs = [boot("/bin/small", "hello", entries=entries) for _ in range(8)]
    for run in runs:
        world.assert_sound(run)
    assert min(run.seconds for run in runs) <= BOOT_SECONDS_AT_MOST, sorted(run.seconds for run in runs)
