# SPDX-License-Identifier: Apache-2.0
"""How fast the time stamp counter and the local APIC's timer run.

Asked in this order: CPUID leaf 0x15 (crystal and ratio), the hypervisor's timing leaf 0x40000010, KVM's paravirtual
clock; else both are measured over one millisecond against the 8254 timer's second channel (1,193,182 Hz), edge to edge.
A machine without that timer is a virtual one whose APIC timer runs at 1 GHz, and the TSC is measured against it.
The 8254's count goes round in 55 ms: a host that takes the processor away for longer makes the TSC look faster, so a
window with such a hole in it is measured again.
A measured rate within 0.3 % of 1 GHz is 1 GHz: that is QEMU's instruction counter (-icount), and its APIC timer.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import apic, cpu, instructions, pvclock
from kaa.lang import ZERO, copy, struct, u64, wrapping_sub

PIT_HZ = 1_193_182
PIT_COMMAND = 0x43
PIT_CHANNEL2 = 0x42
PIT_GATE = 0x61
WINDOW_TICKS = 1194
GIGAHERTZ = 1_000_000_000
PATIENCE = 20_000
TRIES = 6
WINDOWS = 20
KVM_SIGNATURE = 0x4B4D564B


@struct
class Rates:
    """Hertz; 0: not known."""

    tsc: u64 = 0
    apic: u64 = 0


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
            found.tsc = pvclock.tsc_rate()


@struct
class Sample:
    """The TSC and the 8254's count at the same moment; `spread` is how long that moment was, in cycles."""

    tsc: u64 = 0
    count: u64 = 0
    spread: u64 = 0


class Reference:
    """The sample that refine() measures from; taken at boot. The 8254 goes on counting."""

    tsc: u64
    count: u64
    usable: bool

    def __init__(self) -> None:
        self.tsc = u64(0)
        self.count = u64(0)
        self.usable = False


reference = Reference()


def _pit_start() -> None:
    """Channel 2 counts down from 65535 and on, modulo 65536, with its output to the speaker off (mode 0)."""
    instructions.out8(PIT_GATE, instructions.in8(PIT_GATE) & 0xFC | 1)
    instructions.out8(PIT_COMMAND, 0xB0)
    instructions.out8(PIT_CHANNEL2, 0xFF)
    instructions.out8(PIT_CHANNEL2, 0xFF)


def _pit_read() -> u64:
    """Channel 2's count."""
    instructions.out8(PIT_COMMAND, 0x80)
    low = instructions.in8(PIT_CHANNEL2)
    return u64(low) | u64(instructions.in8(PIT_CHANNEL2)) << 8


def _passed(before: u64, after: u64) -> u64:
    """Ticks between two counts of channel 2, which counts down and goes round."""
    return wrapping_sub(before, after) & 0xFFFF


def _sample() -> Sample:
    """The best of a few tries: the host may take the processor away at any moment."""
    best = Sample(u64(0), u64(0), u64(0xFFFF_FFFF_FFFF))
    for _ in range(TRIES):
        before = instructions.read_tsc()
        count = _pit_read()
        spread = instructions.read_tsc() - before
        if spread < best.spread:
            best.tsc = before + spread // 2
            best.count = count
            best.spread = spread
    return best


@struct
class Window:
    """What was counted while WINDOW_TICKS or more passed."""

    first: Sample = ZERO
    ticks: u64 = 0
    """Of the 8254; modulo 65536."""
    tsc: u64 = 0
    """Cycles meanwhile."""
    bus: u64 = 0
    """Ticks of the APIC timer, in `cycles` of the TSC."""
    cycles: u64 = 0
    hole: u64 = 0
    """The longest time between two looks at the 8254, in cycles."""


def _measure() -> Rates:
    """Count TSC and APIC timer over WINDOW_TICKS of the 8254: the window without a hole, or else the one that makes the
    TSC slowest."""
    _pit_start()
    best = _window()
    for _ in range(WINDOWS):
        if best.hole < best.tsc // 4:
            break
        other = _window()
        if not _plausible(best) or (_plausible(other) and other.tsc * best.ticks < best.tsc * other.ticks):
            best = copy(other)
    if not _plausible(best):
        return _measure_by_apic()
    tsc = _snap(best.tsc * PIT_HZ // best.ticks)
    reference.tsc = best.first.tsc
    reference.count = best.first.count
    reference.usable = tsc != GIGAHERTZ
    return Rates(tsc, _snap(best.bus * (tsc // 1000) // best.cycles * 1000))


def _plausible(window: Window) -> bool:
    """Whether there is an 8254 that counts."""
    return window.ticks >= WINDOW_TICKS


def _window() -> Window:
    """One window."""
    apic.arm_count(0xFFFF_FFFF)
    found = Window()
    first = _sample()
    bus = u64(apic.read(apic.TIMER_CURRENT))
    start = instructions.read_tsc()
    looked = first.tsc
    reads: u64 = u64(0)
    while reads < PATIENCE and _passed(first.count, _pit_read()) < WINDOW_TICKS:
        now = instructions.read_tsc()
        found.hole = max(found.hole, now - looked)
        looked = now
        reads += 1
    last = _sample()
    found.hole = max(found.hole, last.tsc - looked)
    found.bus = bus - u64(apic.read(apic.TIMER_CURRENT))
    found.cycles = instructions.read_tsc() - start
    apic.arm_count(0)
    found.first = copy(first)
    found.ticks = _passed(first.count, last.count)
    found.tsc = last.tsc - first.tsc
    return found


def refine(estimate: u64) -> u64:
    """The TSC's rate measured again from boot until now, given an estimate good to half a per cent; for the first two
    seconds. The estimate tells how often the 8254 went round meanwhile."""
    now = _sample()
    if now.tsc <= reference.tsc:
        return estimate
    cycles = now.tsc - reference.tsc
    expected = (cycles >> 8) * PIT_HZ // (estimate >> 8)
    part = _passed(reference.count, now.count)
    rounds = (expected + 0x8000 - min(part, expected)) >> 16
    ticks = (rounds << 16) + part
    if ticks == 0 or ticks > 4 * PIT_HZ:
        return estimate
    refined = cycles * PIT_HZ // ticks
    good = refined > estimate - (estimate >> 6) and refined < estimate + (estimate >> 6)
    return refined if good else estimate


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
