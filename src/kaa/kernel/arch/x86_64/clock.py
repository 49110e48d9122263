# SPDX-License-Identifier: Apache-2.0
"""Time: nanoseconds from the TSC, and one timer interrupt at a chosen moment.

ns = base_ns + (tsc - base_tsc) * multiplier >> 32, in 128 bits, so that nothing ever has to be folded in; the same
numbers lie in the vDSO's data page (vdso.py). Realtime is monotonic time plus an offset. The timer is the local APIC's
of the processor that asks, against the TSC where it can, else counted down. All processors share the numbers: their
counters are in step (tsc_sync.py).

Writers hold `writing`; the base and the rates belong together, so they are written while `sequence` is odd, and who
reads several looks at it before and after. On x86 stores, and loads, stay in order.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import apic, calibrate, cpu, instructions, irq, rtc
from kaa.kernel.arch.x86_64.instructions import scale
from kaa.kernel.locking.spinlock import LeafLock
from kaa.lang import Atomic, i64, u32, u64
from kaa.lang.unsafe import compiler_barrier

GIGAHERTZ = 1_000_000_000
LONGEST_COUNT = 0x7FFF_FFFF
SOONEST_NS = 500
REFINE_AFTER_NS = 1_000_000_000


class Clock:
    """The conversion factors (32.32 fixed point), and realtime's offset. Written at boot, and once more a second later;
    the offset by clock_settime. The local APIC's are written at boot only."""

    sequence: Atomic[u32]
    base_tsc: Atomic[u64]
    multiplier: Atomic[u64]
    offset_ns: Atomic[i64]
    tsc_hz: Atomic[u64]
    apic_hz: u64
    tsc_per_ns: Atomic[u64]
    apic_per_ns: u64
    deadline_mode: bool

    def __init__(self) -> None:
        self.sequence = Atomic(0)
        self.base_tsc = Atomic(0)
        self.multiplier = Atomic(1 << 32)
        self.offset_ns = Atomic(0)
        self.tsc_hz = Atomic(GIGAHERTZ)
        self.apic_hz = u64(GIGAHERTZ)
        self.tsc_per_ns = Atomic(1 << 32)
        self.apic_per_ns = u64(1 << 32)
        self.deadline_mode = False


state = Clock()
writing = LeafLock("clock")


def cycles() -> u64:
    """The time stamp counter."""
    return instructions.read_tsc()


def monotonic_ns() -> u64:
    """Nanoseconds since boot."""
    while True:
        before = state.sequence.load_relaxed()
        ns = scale(instructions.read_tsc() - state.base_tsc.load_relaxed(), state.multiplier.load_relaxed())
        compiler_barrier()
        if state.sequence.load_relaxed() == before and before & 1 == 0:
            return ns


def realtime_ns() -> u64:
    """Nanoseconds since 1970-01-01 00:00 UTC."""
    return u64(i64(monotonic_ns()) + state.offset_ns.load_relaxed())


def set_realtime(ns: u64) -> None:
    """Set the time of day."""
    from kaa.kernel.arch.x86_64 import vdso

    writing.acquire()
    state.offset_ns.store_relaxed(i64(ns) - i64(monotonic_ns()))
    vdso.update()
    writing.release()


def set_deadline(ns: u64) -> None:
    """Interrupt once, at monotonic time `ns` or as soon as possible if that is past; 0: not at all. The time may come
    early when it is far off: the receiver looks at the clock and asks again."""
    if state.deadline_mode:
        apic.arm_deadline(u64(0) if ns == 0 else _tsc_at(ns))
        return
    if ns == 0:
        apic.arm_count(0)
        return
    now = monotonic_ns()
    wait: u64 = u64(SOONEST_NS)
    if ns > now + SOONEST_NS:
        wait = min(ns - now, 1_000_000_000)
    apic.arm_count(u32(min(scale(wait, state.apic_per_ns) + 1, LONGEST_COUNT)))


def _tsc_at(ns: u64) -> u64:
    """The time stamp at a monotonic time."""
    while True:
        before = state.sequence.load_relaxed()
        tsc = state.base_tsc.load_relaxed() + scale(ns, state.tsc_per_ns.load_relaxed())
        compiler_barrier()
        if state.sequence.load_relaxed() == before and before & 1 == 0:
            return tsc


def _interrupt(vector: u32) -> None:
    from kaa.kernel.time import tick

    tick.interrupt()


def _set_rate(tsc_hz: u64) -> None:
    """The TSC's rate; the monotonic clock goes on from where it is. Under `writing`."""
    now = monotonic_ns()
    tsc = instructions.read_tsc()
    state.sequence.fetch_add(1)
    per_ns = ((tsc_hz // 1000) << 32) // 1_000_000
    state.tsc_hz.store_relaxed(tsc_hz)
    state.tsc_per_ns.store_relaxed(per_ns)
    state.multiplier.store_relaxed((u64(GIGAHERTZ) << 32) // tsc_hz)
    state.base_tsc.store_relaxed(tsc - scale(now + 1, per_ns))
    state.sequence.fetch_add(1)


def _refine(unused: u64) -> None:
    """A second after boot the TSC can be measured well: to some parts per million instead of per thousand."""
    from kaa.kernel.arch.x86_64 import vdso

    refined = calibrate.refine(state.tsc_hz.load_relaxed())
    writing.acquire()
    _set_rate(refined)
    vdso.update()
    writing.release()


def refine_later() -> None:
    """Ask for that measurement, if there is something to measure against. Raises MemoryError."""
    from kaa.kernel.time import timer

    if calibrate.reference.usable:
        timer.add(monotonic_ns() + REFINE_AFTER_NS, _refine, u64(0))


def initialise() -> None:
    """Find the rates, take the time of day from the battery clock, make the timer ready. The local APIC is on."""
    rates = calibrate.rates()
    state.tsc_hz.store_relaxed(rates.tsc)
    state.apic_hz = rates.apic
    state.multiplier.store_relaxed((u64(GIGAHERTZ) << 32) // rates.tsc)
    state.tsc_per_ns.store_relaxed(((rates.tsc // 1000) << 32) // 1_000_000)
    state.apic_per_ns = u64(((rates.apic // 1000) << 32) // 1_000_000)
    state.base_tsc.store_relaxed(instructions.read_tsc())
    state.offset_ns.store_relaxed(i64(rtc.seconds()) * 1_000_000_000)
    state.deadline_mode = cpu.features.tsc_deadline
    apic.timer_mode(state.deadline_mode)
    irq.register(apic.TIMER_VECTOR, _interrupt)
