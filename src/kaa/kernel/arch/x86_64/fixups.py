# SPDX-License-Identifier: Apache-2.0
"""The table of user copies, section .kaa_fixup: where each begins and ends, and where it goes on after a fault. Written
by user_copy.py's assembly, three addresses an entry."""

from __future__ import annotations

from kaa.lang import u64
from kaa.lang.unsafe import Ptr, symbol


def landing(address: u64) -> u64:
    """Where a faulting user copy at `address` goes on, 0 if that is no user copy: section .kaa_fixup, (start, end,
    landing)."""
    entry = Ptr[u64](symbol("kaa_fixup_start"))
    end = symbol("kaa_fixup_end")
    while entry.address < end:
        if entry[0] <= address and address < entry[1]:
            return entry[2]
        entry = entry + 3
    return u64(0)
