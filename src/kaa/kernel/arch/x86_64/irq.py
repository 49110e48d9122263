# SPDX-License-Identifier: Apache-2.0
"""Interrupts: the processor's flag, and the table of handlers by vector.

Vectors 0-31 are exceptions; 32-47 the masked legacy PIC's (spurious only); 48-239 are given out by allocate_vector();
above, the local APIC's own. A handler runs with interrupts off, must not sleep, and gets its vector.
"""

from __future__ import annotations

from collections.abc import Callable

from kaa.kernel.arch.x86_64 import apic, cpu, instructions, percpu, processors
from kaa.lang import Array, Atomic, interrupts, u32, u64
from kaa.lang.unsafe import asm

FIRST_VECTOR = 48
LAST_VECTOR = 239
FLAG = 0x200
SPINS_A_VISIT = 32

simulated: dict[str, bool] = {"on": True}


@interrupts("off")
@asm("cli", out=None, ins=[], clobber="memory")
def disable() -> None:
    """Interrupts off on this processor."""
    simulated["on"] = False


@interrupts("on")
@asm("sti", out=None, ins=[], clobber="memory")
def enable() -> None:
    """Interrupts on."""
    simulated["on"] = True


@interrupts("save")
@asm("pushfq; popq %0; cli", out="=r", ins=[], clobber="memory")
def save() -> u64:
    """Interrupts off; gives the flags for restore()."""
    was = simulated["on"]
    simulated["on"] = False
    return u64(FLAG if was else 0)


@asm("pushfq; popq %0", out="=r", ins=[], clobber="memory")
def flags() -> u64:
    """The processor's flags."""
    return u64(FLAG if simulated["on"] else 0)


@interrupts("on")
@asm("sti; hlt", out=None, ins=[], clobber="memory")
def halt() -> None:
    """Interrupts on and sleep until one comes, without a gap between the two (Intel SDM 2 STI)."""
    simulated["on"] = True


def relax() -> None:
    """A hint that this processor spins: it may let others go first. From a virtual processor that may be a visit to the
    host, which takes longer than most of what is waited for: there one in SPINS_A_VISIT does it."""
    if not cpu.features.hypervisor or percpu.count_spin() % SPINS_A_VISIT == 0:
        instructions.pause()


def relax_for(spins: u32) -> None:
    """Spin for a while: as often as that on a virtual processor, where a spin is short; on a real one for about as
    long."""
    if cpu.features.hypervisor:
        for _ in range(spins):
            relax()
    else:
        for _ in range(spins // SPINS_A_VISIT + 1):
            instructions.pause()


@interrupts("restore")
def restore(saved: u64) -> None:
    """Back to what save() found."""
    if saved & FLAG != 0:
        enable()


def enabled() -> bool:
    """Are interrupts on?"""
    return flags() & FLAG != 0


def in_interrupt() -> bool:
    """Is an interrupt handler running on this processor?"""
    return percpu.interrupt_depth() != 0


class Vectors:
    """Who handles which vector, on all processors. Written at boot and by drivers that start, one word at a time,
    before the line is connected; read by interrupts."""

    handlers: Array[Callable[[u32], None] | None, 256]
    lines: Array[u32, 256]
    """The interrupt line that a vector stands for, plus one; 0: none, or not known."""
    next_free: Atomic[u32]
    unexpected: Atomic[u64]

    def __init__(self) -> None:
        self.handlers = Array[Callable[[u32], None] | None, 256]()
        self.lines = Array[u32, 256]()
        self.next_free = Atomic(FIRST_VECTOR)
        self.unexpected = Atomic(0)


vectors = Vectors()


def register(vector: u32, handler: Callable[[u32], None]) -> None:
    """Let `handler` run at each interrupt of `vector`."""
    vectors.handlers[vector] = handler


def allocate_vector() -> u32:
    """A vector nobody uses. Raises OSError(ENOSPC) when all are given out."""
    vector = vectors.next_free.fetch_add(1)
    if vector > LAST_VECTOR:
        vectors.next_free.store(LAST_VECTOR + 1)
        import errno

        raise OSError(errno.ENOSPC)
    return vector


def connect(line: u32, handler: Callable[[u32], None], level: bool = False, low: bool = False) -> u32:
    """Connect an interrupt line (ISA or global system interrupt) to `handler`, unmasked; gives its vector."""
    from kaa.kernel.arch.x86_64 import ioapic

    vector = allocate_vector()
    register(vector, handler)
    vectors.lines[vector] = line + 1
    ioapic.route(line, vector, level, low)
    return vector


def spread() -> None:
    """All processors run: let each have some of the lines that are connected."""
    from kaa.kernel.arch.x86_64 import ioapic

    if processors.online_mask() != 1:
        ioapic.spread()


def message_target() -> u32:
    """Where a device that sends its interrupts as messages is to send them: an APIC id."""
    return processors.next_target()


def _call(handler: Callable[[u32], None], vector: u32) -> None:
    """A handler has nobody to tell of an error."""
    try:
        handler(vector)
    except Exception:
        vectors.unexpected.fetch_add(1)


def dispatch(vector: u32) -> None:
    """Run the handler of `vector`, then tell the local APIC that it ended."""
    percpu.count_interrupt(u64(vector))
    handler = vectors.handlers[vector]
    if handler is None:
        vectors.unexpected.fetch_add(1)
    else:
        _call(handler, vector)
    apic.end_of_interrupt()
