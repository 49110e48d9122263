# SPDX-License-Identifier: Apache-2.0
"""From the boot protocol to process 1: main.py reads top to bottom.

Added to docs/architecture.md: `memory_map` (what the boot loader told), `first_process` (process 1 before it is a
program), `command_line.text()`, `init_arguments()`, `init_environment()`.
"""

from __future__ import annotations
