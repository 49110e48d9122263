# SPDX-License-Identifier: Apache-2.0
"""Where things are in a checkout."""

from __future__ import annotations

import pathlib

HOME = pathlib.Path(__file__).resolve().parents[3]
SOURCES = HOME / "src"
PACKAGE = SOURCES / "kaa"
BUILD = HOME / "build"
KERNEL = BUILD / "kaa.elf"
"""What is booted."""
SYMBOLS = BUILD / "debug" / "kaa.elf"
"""The same with symbols and debug information: what gdb reads."""
YARDSTICK = HOME.parent / "shared" / "bench"
