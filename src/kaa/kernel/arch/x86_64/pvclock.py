# SPDX-License-Identifier: Apache-2.0
"""KVM's paravirtual clock, for the one thing it knows that nobody else tells: the rate of the TSC.

The hypervisor writes struct pvclock_vcpu_time_info to a physical address that it is given: version, 4 bytes of padding,
TSC time stamp, system time (8 bytes each), then multiplier (4 bytes), shift (1), flags (1). It is asked once, at boot,
and switched off again. Source: the KVM documentation of MSR 0x4b564d01 and of pvclock.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import instructions, paging
from kaa.lang import Array, u64
from kaa.lang.unsafe import address_of

GIGAHERTZ = 1_000_000_000
FEATURES_LEAF = 0x4000_0001
NEW_CLOCK = 8
MSR_KVM_SYSTEM_TIME = 0x4B564D01


class PvClockArea:
    """Memory the hypervisor writes; 64 bytes hold one aligned structure."""

    bytes: Array[u64, 8]

    def __init__(self) -> None:
        self.bytes = Array[u64, 8]()


pv_area = PvClockArea()


def tsc_rate() -> u64:
    """In Hertz; 0 if there is no such clock. ns = (tsc << shift) * multiplier >> 32, so the rate is (10^9 << 32) /
    multiplier >> shift; `shift` is signed."""
    if instructions.cpuid(FEATURES_LEAF, 0).eax & NEW_CLOCK == 0:
        return u64(0)
    address = (address_of(pv_area.bytes[:]) + 31) & 0xFFFF_FFFF_FFFF_FFE0
    instructions.write_msr(MSR_KVM_SYSTEM_TIME, paging.image_physical(address) | 1)
    words = pv_area.bytes[(address - address_of(pv_area.bytes[:])) >> 3 :]
    multiplier = words[3] & 0xFFFF_FFFF
    shift = (words[3] >> 32) & 0xFF
    instructions.write_msr(MSR_KVM_SYSTEM_TIME, 0)
    if multiplier == 0:
        return u64(0)
    rate: u64 = (u64(GIGAHERTZ) << 32) // multiplier
    if shift < 128:
        return rate >> shift
    return rate << (256 - shift)
