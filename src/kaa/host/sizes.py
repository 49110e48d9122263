# SPDX-License-Identifier: Apache-2.0
"""Sizes of memory as people write them (512M) and as QEMU takes them."""

from __future__ import annotations

import re

from kaa.host.errors import USAGE, Refusal

UNITS = {"": 1 << 20, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
PAGE = 4096


def parse_memory(text: str) -> int:
    """Bytes of `64M`, `1G`, `512` (MiB, as QEMU has it). Raises Refusal."""
    match = re.fullmatch(r"(\d+)([KMGT]?)i?B?", text.strip().upper().replace("IB", "B"))
    if match is None or int(match[1]) == 0:
        raise Refusal(f"--mem {text}: not a size of memory such as 64M or 1G", USAGE)
    size = int(match[1]) * UNITS[match[2]]
    if size > 1 << 44:
        raise Refusal(f"--mem {text}: more memory than a machine can have", USAGE)
    return size // PAGE * PAGE


def for_qemu(size: int) -> str:
    return f"{size // 1024}K"


def human(size: int) -> str:
    """`1.4 MiB`"""
    value, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
