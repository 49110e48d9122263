# SPDX-License-Identifier: Apache-2.0
"""Where things are in a checkout."""

from __future__ import annotations

import pathlib

HOME = pathlib.Path(__file__).resolve().parents[3]
SOURCES = HOME / "src"
PACKAGE = SOURCES / "kaa"
BUILD = HOME / "build"
KERNEL = BUILD / "kaa.elf"
YARDSTICK = HOME.parent / "shared" / "bench"
