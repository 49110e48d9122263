# SPDX-License-Identifier: Apache-2.0
"""Interrupts between processors: reschedule, kick, and requests that are waited for (Intel SDM 3, 11.6).

A request is made in the sender's own `Mailbox`: what to do, and the set of processors that have not done it yet
(`pending`). The sender then puts its bit into each receiver's `incoming` set and interrupts those whose set was empty:
one interrupt answers all who ask meanwhile. The sender waits with interrupts on, so that two processors that ask each
other answer each other; hence no request with interrupts off, from an interrupt handler, or from inside a request.
Preemption is off from filling the mailbox until the last answer, so it has one user at a time.

Order: `pending` is written (an exchange) before the bit in `incoming` (a fetch_or), which the receiver takes (an
exchange) before it reads the mailbox; it reads it for the last time before it takes its bit out of `pending`.
"""

from __future__ import annotations

from collections.abc import Callable

from kaa.kernel.arch.x86_64 import apic, instructions, irq, percpu, processors
from kaa.lang import Array, Atomic, PerCpu, Relaxed, cold, trailing_zeros, u32, u64

NOTHING, CALL, FLUSH = 0, 1, 2


class Mailbox:
    """One processor's: what others ask of it (`incoming`), and what it asks of others (`pending`, and the words that
    are `PerCpu`: it fills them in while `pending` is empty; those it asks read them, in an interrupt, while it
    waits)."""

    incoming: Atomic[u64]
    pending: Atomic[u64]
    kind: PerCpu[u32]
    function: PerCpu[Callable[[u64], None] | None]
    argument: PerCpu[u64]
    root: PerCpu[u64]
    """FLUSH: the page table's root; 0 for the kernel's mappings."""
    generation: PerCpu[u64]
    """FLUSH: what the page table's generation was raised to."""
    start: PerCpu[u64]
    end: PerCpu[u64]
    calls: PerCpu[Relaxed[u64]]
    """Requests carried out here, by this processor alone."""
    flushes: PerCpu[Relaxed[u64]]

    def __init__(self) -> None:
        self.incoming = Atomic(0)
        self.pending = Atomic(0)
        self.kind = u32(NOTHING)
        self.function = None
        self.argument = u64(0)
        self.root = u64(0)
        self.generation = u64(0)
        self.start = u64(0)
        self.end = u64(0)
        self.calls = u64(0)
        self.flushes = u64(0)


class Mailboxes:
    """By number; written before the processor starts."""

    table: Array[Mailbox | None, 64]

    def __init__(self) -> None:
        self.table = Array[Mailbox | None, 64]()


boot_mailbox = Mailbox()
mailboxes = Mailboxes()
mailboxes.table[0] = boot_mailbox


def prepare(number: u32) -> None:
    """Make the mailbox of a processor that is to start. Raises MemoryError."""
    mailboxes.table[number] = Mailbox()


def mailbox(number: u32) -> Mailbox:
    """The mailbox of a prepared processor."""
    box = mailboxes.table[number]
    assert box is not None
    return box


def send(number: u32, vector: u32) -> None:
    """Interrupt another processor."""
    saved = irq.save()
    apic.send(processors.processors.apic_ids[number], apic.FIXED | vector)
    irq.restore(saved)


def send_reschedule(number: u32) -> None:
    """Let another processor choose anew who runs."""
    send(number, u32(apic.RESCHEDULE_VECTOR))


def kick(number: u32) -> None:
    """Interrupt another processor for the sake of it: on the way back to user mode it looks at its task's `work`."""
    send(number, u32(apic.KICK_VECTOR))


def post(box: Mailbox, receivers: u64) -> None:
    """Send the request in the running processor's mailbox to `receivers`, which this processor is not among."""
    assert irq.enabled(), "a processor with interrupts off asks others"
    box.pending.store(receivers)
    own = u64(1) << percpu.cpu_id()
    left = receivers
    while left != 0:
        number = u32(trailing_zeros(left))
        left &= left - 1
        if mailbox(number).incoming.fetch_or(own) == 0:
            send(number, u32(apic.CALL_VECTOR))


def wait(box: Mailbox) -> None:
    """Until all have done what was posted."""
    while box.pending.load_acquire() != 0:
        irq.relax()


def call(processor_set: u64, function: Callable[[u64], None], argument: u64) -> None:
    """Run function(argument) on each running processor of the set, this one too if it is in it, with interrupts off
    there; returns when all have. Not with interrupts off, and not from an interrupt handler."""
    percpu.preempt_disable()
    own = u64(1) << percpu.cpu_id()
    wanted = processor_set & processors.online_mask()
    others = wanted & ~own
    box = mailbox(percpu.cpu_id())
    if others != 0:
        box.kind = u32(CALL)
        box.function = function
        box.argument = argument
        post(box, others)
    if wanted & own != 0:
        saved = irq.save()
        _run(function, argument)
        irq.restore(saved)
    wait(box)
    percpu.preempt_enable()


def interrupt(processor_set: u64) -> None:
    """Interrupt each running processor of the set; returns when all were. As `call`."""
    call(processor_set, _interrupted, u64(0))


def _interrupted(unused: u64) -> None:
    """Coming here was all."""


def _run(function: Callable[[u64], None], argument: u64) -> None:
    """An error that a request lets out has nobody to go to."""
    try:
        function(argument)
    except Exception:
        irq.vectors.unexpected.fetch_add(1)


def _carry_out(box: Mailbox, own: Mailbox) -> None:
    """Do what another processor's mailbox asks for."""
    if box.kind == FLUSH:
        from kaa.kernel.arch.x86_64 import tlb

        own.flushes += 1
        tlb.answer(box.root, box.generation, box.start, box.end)
        return
    own.calls += 1
    function = box.function
    if function is not None:
        _run(function, box.argument)


def _requests(vector: u32) -> None:
    """The interrupt: carry out what all senders ask for."""
    number = percpu.cpu_id()
    own = mailbox(number)
    bit = u64(1) << number
    senders = own.incoming.exchange(0)
    while senders != 0:
        box = mailbox(u32(trailing_zeros(senders)))
        senders &= senders - 1
        _carry_out(box, own)
        box.pending.fetch_and(~bit)


def _reschedule(vector: u32) -> None:
    percpu.set_need_resched()


def _kicked(vector: u32) -> None:
    """Coming here was all."""


class Stop:
    """A panic's: 1 when all other processors are to stop, and those that did."""

    wanted: Atomic[u32]
    stopped: Atomic[u64]

    def __init__(self) -> None:
        self.wanted = Atomic(0)
        self.stopped = Atomic(0)


stop = Stop()
STOP_PATIENCE = 20_000_000
"""Cycles that a panic waits for the others to stop."""


@cold
def stop_others() -> None:
    """Stop all other processors, even those with interrupts off (a non-maskable interrupt tells them). Interrupts are
    off."""
    own = u64(1) << percpu.cpu_id()
    others = processors.online_mask() & ~own
    if others == 0:
        return
    stop.wanted.store(1)
    left = others
    while left != 0:
        apic.send(processors.processors.apic_ids[u32(trailing_zeros(left))], u32(apic.NMI))
        left &= left - 1
    start = instructions.read_tsc()
    while stop.stopped.load() & others != others and instructions.read_tsc() - start < STOP_PATIENCE:
        instructions.pause()


@cold
def stop_if_wanted() -> None:
    """In the non-maskable interrupt: is it a panic's?"""
    if stop.wanted.load() != 0:
        stop.stopped.fetch_or(u64(1) << percpu.cpu_id())
        while True:
            instructions.stop()


def initialise() -> None:
    """The handlers, which all processors share."""
    irq.register(apic.RESCHEDULE_VECTOR, _reschedule)
    irq.register(apic.CALL_VECTOR, _requests)
    irq.register(apic.KICK_VECTOR, _kicked)
