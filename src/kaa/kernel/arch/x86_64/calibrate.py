# SPDX-License-Identifier: Apache-2.0
"""How fast the time stamp counter and the local APIC's timer run.

Asked in this order: CPUID leaf 0x15 (crystal and ratio), the hypervisor's timing leaf 0x40000010, KVM's paravirtual clock; else both
are measured over one millisecond against the 8254 timer's second channel (1,193,182 Hz), edge to edge. A machine without
that timer is a virtual one whose APIC timer runs at 1 GHz, and the TSC is measured against it.
A measured rate within 0.3 % of 1 GHz is 1 GHz: that is QEMU's instruction counter (-icount), and its APIC timer.
"""

from __future__ import annotations

from kaa.lang import Array, struct, u8, u32, u64
from kaa.lang.unsafe import address_of

from kaa.kernel.arch.x86_64 import apic, cpu, instructions, paging

PIT_HZ = 1_193_182
PIT_COMMAND = 0x43
PIT_CHANNEL2 = 0x42
PIT_GATE = 0x61
WINDOW_TICKS = 1194
GIGAHERTZ = 1_000_000_000
PATIENCE = 20_000
KVM_SIGNATURE = 0x4B4D564B
MSR_KVM_SYSTEM_TIME = 0x4B564D01


@struct
class Rates:
    """Hertz; 0: not known."""

    tsc: u64 = 0
    apic: u64 = 0


@struct
class PvClock:
    """struct pvclock_vcpu_time_info, padded so that a 32-byte part of it never crosses a page."""

    version: u32 = 0
    pad: u32 = 0
    tsc_timestamp: u64 = 0
    system_time: u64 = 0
    multiplier: u32 = 0
    shift: u8 = 0
    flags: u8 = 0
    rest: Array[u8, 2]


class PvClockArea:
    """Memory the hypervisor writes; 64 bytes hold one aligned structure."""

    bytes: Array[u64, 8]

    def __init__(self) -> None:
        self.bytes = Array[u64, 8]()


pv_area = PvClockArea()


def rates() -> Rates:
    """The rates of TSC and APIC timer."""
    found = Rates()
    found.tsc = _from_crystal()
    _from_hypervisor(found)
    if found.tsc == 0 or found.apic == 0:
        measured = _measure()
        if found.tsc == 0:
            found.tsc = measured.tsc
        if found.apic == 0:
            found.apic = measured.apic
    return found


def _from_crystal() -> u64:
    """CPUID 0x15: the crystal's rate times a ratio; 0 if the processor does not say all three."""
    if cpu.features.maximum_leaf < 0x15:
        return u64(0)
    leaf = instructions.cpuid(0x15, 0)
    if leaf.eax == 0 or leaf.ebx == 0 or leaf.ecx == 0:
        return u64(0)
    return u64(leaf.ecx) * u64(leaf.ebx) // u64(leaf.eax)


def _from_hypervisor(found: Rates) -> None:
    """The timing leaf gives kHz of TSC and bus; KVM's clock gives the TSC."""
    if not cpu.features.hypervisor:
        return
    leaf = instructions.cpuid(cpu.HYPERVISOR_LEAVES, 0)
    if leaf.eax >= 0x4000_0010 and leaf.eax < 0x4000_0100:
        timing = instructions.cpuid(0x4000_0010, 0)
        found.tsc = u64(timing.eax) * 1000
        found.apic = u64(timing.ebx) * 1000
    if leaf.ebx == KVM_SIGNATURE:
        found.apic = u64(GIGAHERTZ)
        if found.tsc == 0:
            found.tsc = _from_pvclock()


def _from_pvclock() -> u64:
    """ns = (tsc << shift) * multiplier >> 32, so the rate is (10^9 << 32) / multiplier >> shift; `shift` is signed."""
    if instructions.cpuid(0x4000_0001, 0).eax & 8 == 0:
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


def _pit_start() -> None:
    """Channel 2 counts down from 65535, once, with its output to the speaker off."""
    instructions.out8(PIT_GATE, instructions.in8(PIT_GATE) & 0xFC | 1)
    instructions.out8(PIT_COMMAND, 0xB0)
    instructions.out8(PIT_CHANNEL2, 0xFF)
    instructions.out8(PIT_CHANNEL2, 0xFF)


def _pit_read() -> u32:
    """Channel 2's count."""
    instructions.out8(PIT_COMMAND, 0x80)
    low = instructions.in8(PIT_CHANNEL2)
    return u32(low) | u32(instructions.in8(PIT_CHANNEL2)) << 8


def _pit_edge(below: u32) -> u32:
    """Wait for the count to fall to `below` or less; gives it, or 0xffff if it never does."""
    for _ in range(PATIENCE):
        count = _pit_read()
        if count <= below:
            return count
    return u32(0xFFFF)


def _measure() -> Rates:
    """Count both over WINDOW_TICKS of the 8254."""
    _pit_start()
    apic.arm_count(0xFFFF_FFFF)
    first = _pit_edge(u32(0xFFF0))
    start = instructions.read_tsc()
    start_apic = apic.read(apic.TIMER_CURRENT)
    if first == 0xFFFF:
        return _measure_by_apic()
    last = _pit_edge(first - WINDOW_TICKS)
    tsc = instructions.read_tsc() - start
    bus = u64(start_apic - apic.read(apic.TIMER_CURRENT))
    apic.arm_count(0)
    if last == 0xFFFF:
        return _measure_by_apic()
    ticks = u64(first - last)
    return Rates(_snap(tsc * PIT_HZ // ticks), _snap(bus * PIT_HZ // ticks))


def _measure_by_apic() -> Rates:
    """No 8254: take the APIC timer for one of 1 GHz and measure the TSC over a millisecond of it."""
    apic.arm_count(0xFFFF_FFFF)
    start_apic = apic.read(apic.TIMER_CURRENT)
    start = instructions.read_tsc()
    while start_apic - apic.read(apic.TIMER_CURRENT) < 1_000_000:
        instructions.pause()
    tsc = instructions.read_tsc() - start
    bus = u64(start_apic - apic.read(apic.TIMER_CURRENT))
    apic.arm_count(0)
    return Rates(_snap(tsc * GIGAHERTZ // bus), u64(GIGAHERTZ))


def _snap(rate: u64) -> u64:
    """1 GHz if it is about that."""
    if rate > 997_000_000 and rate < 1_003_000_000:
        return u64(GIGAHERTZ)
    return rate
