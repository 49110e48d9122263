# SPDX-License-Identifier: Apache-2.0
"""Supervisor-mode access prevention: the kernel cannot touch user memory but between STAC and CLAC.

The assembly has three-byte no-operations at these places, listed in section .kaa_smap as (address, 1 for STAC or 0 for
CLAC). On a processor with SMAP they are written over at boot, while the image may still be written.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import cpu
from kaa.lang import u8, u64
from kaa.lang.unsafe import Ptr, symbol


def patch() -> None:
    """Put the instructions in, if the processor knows them (0f 01 cb and 0f 01 ca, Intel SDM 2)."""
    if not cpu.features.smap:
        return
    site = Ptr[u64](symbol("kaa_smap_start"))
    end = symbol("kaa_smap_end")
    while site.address < end:
        code = Ptr[u8](site[0])
        code[1] = 0x01
        code[2] = 0xCB if site[1] == 1 else 0xCA
        site = site + 2
