# SPDX-License-Identifier: Apache-2.0
"""Starting the other processors (Intel SDM 3, 9.4), and what other rooms ask about processors (arch/interface.py).

`start_others` runs once, in process 1 before it becomes a program. For each processor it makes all that may be lacking
memory first: an area (percpu.py), stacks, a Cpu, an idle task, a mailbox. Then the protocol: INIT to all, ten
milliseconds, and for one after the other up to two start-up interrupts, 200 microseconds apart. A processor that does
not arrive within a second is left off: another INIT makes sure that it does not come late, and if it is on its way past
the trampoline already, it finds the door closed.

The new processor sets itself up as the boot processor did (descriptor tables, protection bits, FPU, local APIC), has
its time stamp counter compared, puts itself into the set of running processors, and is its idle task from then on.
"""

from __future__ import annotations

from kaa.kernel import log
from kaa.kernel.arch.x86_64 import (
    apic,
    clock,
    cpu,
    descriptors,
    fpu,
    instructions,
    ipi,
    irq,
    pcid,
    percpu,
    processors,
    stacks,
    trampoline,
    tsc_sync,
)
from kaa.kernel.arch.x86_64.ipi import call, interrupt, kick, send_reschedule
from kaa.kernel.arch.x86_64.processors import count, online_mask
from kaa.kernel.sched import core
from kaa.kernel.sched import cpu as cpus
from kaa.lang import Atomic, export, popcount, u32, u64

__all__ = ["call", "count", "interrupt", "kick", "online_mask", "send_reschedule", "start_others"]

NMI_STACK, FAULT_STACK = 4096, 8192
"""Below the top of a stack that three share: 4 KiB for machine checks, then 4 for non-maskable interrupts, then 8 for
double faults, with the guard below."""
INIT_NS = 10_000_000
STARTUP_NS = 200_000
PATIENCE_NS = 1_000_000_000
MOST_APART = 2000
"""Cycles between time stamp counters that are put up with: less than a microsecond."""
NOBODY = 0xFFFF_FFFF
REFUSED = 1 << 16
PAGE_SHIFT = 12


class Arrivals:
    """Who is being started, and how far it is."""

    expected: Atomic[u32]
    """The number whose turn it is; NOBODY closes the door."""
    arrived: Atomic[u32]
    """The number that came through."""
    admitted: Atomic[u32]
    """The number that may go on, after the test of its time stamp counter."""

    def __init__(self) -> None:
        self.expected = Atomic(NOBODY)
        self.arrived = Atomic(NOBODY)
        self.admitted = Atomic(NOBODY)


arrivals = Arrivals()


def start_others() -> None:
    """Start the processors that the command line leaves in. Process context; the scheduler works."""
    wanted = min(processors.count(), processors.processors.wanted)
    if wanted > 1:
        if trampoline.place.address == 0:
            log.warn("no memory below 1 MiB: one processor is used")
        else:
            _start(wanted)
    trampoline.give_back()


def _start(wanted: u32) -> None:
    began = clock.monotonic_ns()
    trampoline.build()
    ipi.initialise()
    prepared = _prepare_all(wanted)
    for number in range(1, prepared):
        _command(u32(number), u32(apic.INIT))
    _sleep(u64(INIT_NS))
    for number in range(1, prepared):
        _start_one(u32(number))
    took = (clock.monotonic_ns() - began) // 1000
    log.info(f"{popcount(online_mask())} of {processors.count()} processors run, started in {took} us")


def _sleep(ns: u64) -> None:
    from kaa.kernel.time import timer

    timer.sleep_until(clock.monotonic_ns() + ns)


def _prepare_all(wanted: u32) -> u32:
    """Make what the processors below `wanted` need; gives where memory ended."""
    for number in range(1, wanted):
        try:
            _prepare(u32(number))
        except MemoryError:
            log.warn(f"no memory for processor {number} and those after it: they stay off")
            return u32(number)
    return wanted


def _prepare(number: u32) -> None:
    """Raises MemoryError; what was made before that is kept, once in a boot."""
    from kaa.kernel.arch.x86_64 import paging
    from kaa.kernel.mm import buddy
    from kaa.kernel.process import boot as first_tasks

    ipi.prepare(number)
    area = paging.direct_map(buddy.allocate_zeroed() << PAGE_SHIFT)
    faults = stacks.allocate_stack()
    stack = stacks.allocate_stack()
    this = cpus.prepare(number)
    idle = first_tasks.new_idle(this, stack)
    percpu.prepare(area, this)
    percpu.remote(number).idle_stack = stack
    percpu.set_remote_current(number, idle)
    descriptors.prepare(area, number, faults - FAULT_STACK, faults - NMI_STACK, faults)


def _command(number: u32, command: u32) -> None:
    saved = irq.save()
    apic.send(processors.processors.apic_ids[number], command)
    irq.restore(saved)


def _start_one(number: u32) -> None:
    """Two start-up interrupts at most, then patience; and the test of its time stamp counter, side by side."""
    trampoline.aim(percpu.remote(number).idle_stack, percpu.areas.address[number])
    tsc_sync.prepare()
    arrivals.expected.store(number)
    page = u32(trampoline.place.address >> PAGE_SHIFT)
    _command(number, apic.STARTUP | page)
    if not _arrives(number, u64(STARTUP_NS)):
        _command(number, apic.STARTUP | page)
        if not _arrives(number, u64(PATIENCE_NS)):
            if arrivals.expected.compare_exchange(number, NOBODY):
                _command(number, u32(apic.INIT))
                log.warn(f"processor {number} does not answer: it stays off")
                return
    percpu.preempt_disable()
    tsc_sync.test(u32(0))
    percpu.preempt_enable()
    _admit(number, tsc_sync.worst())


def _admit(number: u32, apart: u64) -> None:
    """Let the processor go on, if it has the same time as this one: everybody's clock is the time stamp counter."""
    if apart > MOST_APART:
        log.warn(f"the time stamp counter of processor {number} is {apart} cycles apart: it stays off")
        arrivals.admitted.store(number | REFUSED)
        return
    if apart != 0:
        log.warn(f"the time stamp counter of processor {number} is {apart} cycles apart")
    arrivals.admitted.store(number)
    bit = u64(1) << number
    while online_mask() & bit == 0:
        instructions.pause()


def _arrives(number: u32, patience: u64) -> bool:
    limit = clock.monotonic_ns() + patience
    while arrivals.arrived.load() != number:
        if clock.monotonic_ns() >= limit:
            return False
        instructions.pause()
    return True


@export("kaa_processor_main")
def processor_main(area: u64) -> None:
    """A processor's first compiled function; interrupts are off, the stack is its idle task's."""
    percpu.enter(area)
    descriptors.load(area)
    cpu.protect()
    if not pcid.join():
        _stay_off()
    fpu.switch_on()
    number = percpu.cpu_id()
    if not arrivals.expected.compare_exchange(number, NOBODY):
        _stay_off()
    percpu.local().active_root = instructions.read_cr3()
    apic.enable()
    apic.timer_mode(clock.state.deadline_mode)
    arrivals.arrived.store(number)
    tsc_sync.test(u32(1))
    while arrivals.admitted.load() & ~REFUSED != number:
        instructions.pause()
    if arrivals.admitted.load() != number:
        _stay_off()
    processors.processors.online.fetch_or(percpu.local().bit)
    core.idle_loop()


def _stay_off() -> None:
    """It was given up: its area and stacks are its own still, but nobody counts on it."""
    while True:
        instructions.stop()
