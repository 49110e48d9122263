# SPDX-License-Identifier: Apache-2.0
"""How fast and how small: the boot and the image. The rows beside Linux are `./kaa bench linux`'s
(docs/performance.md)."""

from __future__ import annotations

import pathlib

import pytest
import world

pytestmark = pytest.mark.boot
IMAGE_AT_MOST = 1.5 * (1 << 20)
BOOT_AT_MOST = 2_500_000
"""Instructions from reset to the first program's main, on a microvm with 128 MiB."""


def test_the_image_is_small(kernel: pathlib.Path) -> None:
    assert kernel.stat().st_size <= IMAGE_AT_MOST


def test_the_boot_is_quick(kernel: pathlib.Path, programs: world.Programs) -> None:
    """By instructions, which no other work on the host changes. How many seconds they take: `./kaa bench linux`."""
    (line,) = world.under_icount(kernel, programs, "instructions", "took", 1, "")
    assert 100_000 < int(line.removeprefix("took ")) <= BOOT_AT_MOST
