# SPDX-License-Identifier: Apache-2.0
"""What a program is told about the machine (getauxval(3)), and which ELF files are for it."""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import cpu, fpu, vdso
from kaa.lang import u32, u64, usize

MACHINE = 62
"""EM_X86_64."""
PLATFORM = b"x86_64"
VDSO_PAGES = 2
VDSO_CODE_OFFSET = 4096
"""The ELF header's page follows the data page."""
SIGNAL_FRAME_SIZE = 8 + 304 + 128


def hardware_capabilities() -> u64:
    """AT_HWCAP: CPUID leaf 1, edx."""
    return u64(cpu.features.edx1)


def vdso_page(index: u32) -> u64:
    """The frame of a page of the vDSO: 0 data, 1 code."""
    return vdso.pages.data if index == 0 else vdso.pages.code


def minimum_signal_stack() -> usize:
    """AT_MINSIGSTKSZ: the biggest signal frame, its alignment included."""
    return SIGNAL_FRAME_SIZE + fpu.layout.area_size + 4 + 128 + 64
