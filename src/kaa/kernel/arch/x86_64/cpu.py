# SPDX-License-Identifier: Apache-2.0
"""What the processor can do (Intel SDM 2 CPUID), asked once at boot, and the features switched on by it."""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import instructions
from kaa.lang import u32, u64

CR4_GLOBAL_PAGES = 1 << 7
CR4_UMIP = 1 << 11
CR4_SMEP = 1 << 20
CR4_SMAP = 1 << 21
CR0_WRITE_PROTECT = 1 << 16
HYPERVISOR_LEAVES = 0x4000_0000


class Features:
    """CPUID's bits that the kernel asks for."""

    edx1: u32
    xsave: bool
    smep: bool
    smap: bool
    umip: bool
    gigabyte_pages: bool
    tsc_deadline: bool
    x2apic: bool
    rdrand: bool
    hypervisor: bool
    maximum_leaf: u32

    def __init__(self) -> None:
        self.edx1 = u32(0)
        self.xsave = False
        self.smep = False
        self.smap = False
        self.umip = False
        self.gigabyte_pages = False
        self.tsc_deadline = False
        self.x2apic = False
        self.rdrand = False
        self.hypervisor = False
        self.maximum_leaf = u32(0)


features = Features()


def identify() -> None:
    """Fill `features`."""
    features.maximum_leaf = instructions.cpuid(0, 0).eax
    leaf = instructions.cpuid(1, 0)
    features.edx1 = leaf.edx
    features.xsave = leaf.ecx & 1 << 26 != 0
    features.tsc_deadline = leaf.ecx & 1 << 24 != 0
    features.x2apic = leaf.ecx & 1 << 21 != 0
    features.rdrand = leaf.ecx & 1 << 30 != 0
    features.hypervisor = leaf.ecx & 1 << 31 != 0
    if features.maximum_leaf >= 7:
        leaf7 = instructions.cpuid(7, 0)
        features.smep = leaf7.ebx & 1 << 7 != 0
        features.smap = leaf7.ebx & 1 << 20 != 0
        features.umip = leaf7.ecx & 1 << 2 != 0
    features.gigabyte_pages = instructions.cpuid(0x8000_0001, 0).edx & 1 << 26 != 0


def protect() -> None:
    """Write protection in ring 0, and SMEP, SMAP and UMIP where they exist. The kernel's final page tables are in
    use."""
    bits: u64 = u64(CR4_GLOBAL_PAGES)
    if features.smep:
        bits |= CR4_SMEP
    if features.smap:
        bits |= CR4_SMAP
    if features.umip:
        bits |= CR4_UMIP
    instructions.write_cr4(instructions.read_cr4() | bits)
    instructions.write_cr0(instructions.read_cr0() | CR0_WRITE_PROTECT)
