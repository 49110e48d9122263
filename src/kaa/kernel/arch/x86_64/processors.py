# SPDX-License-Identifier: Apache-2.0
"""Which processors the machine has: their APIC ids, by our numbers, and which of them run.

The boot processor is number 0. Firmware names the others: ACPI's MADT, else the tables of the MultiProcessor
Specification (mp_table.py); `initialise` closes the list. The command line may leave some out, as Linux has it:
`nosmp`, `maxcpus=N` (kernel-parameters). A set of processors is one u64.
"""

from __future__ import annotations

from kaa.kernel import log
from kaa.kernel.arch.x86_64 import apic
from kaa.kernel.init.command_line import boot_param, number
from kaa.lang import Array, Atomic, Bytes, popcount, trailing_zeros, u32, u64

MAX_CPUS = 64
BROADCAST = 0xFF
"""No APIC id: it addresses all (xAPIC mode)."""


class Processors:
    """The list is written at boot only, `online` as processors start."""

    apic_ids: Array[u32, 64]
    count: u32
    wanted: u32
    """How many may run."""
    online: Atomic[u64]
    left_out: u32
    """Named by firmware, but too many, or beyond what xAPIC mode can address."""

    def __init__(self) -> None:
        self.apic_ids = Array[u32, 64]()
        self.count = u32(0)
        self.wanted = u32(MAX_CPUS)
        self.online = Atomic(1)
        self.left_out = u32(0)


processors = Processors()


@boot_param("nosmp")
def _no_smp(value: Bytes) -> None:
    processors.wanted = u32(1)


@boot_param("maxcpus")
def _maximum(value: Bytes) -> None:
    processors.wanted = u32(min(max(number(value), 1), MAX_CPUS))


def add(apic_id: u32) -> None:
    """Firmware names a processor that can be used."""
    if apic_id >= BROADCAST or processors.count == MAX_CPUS:
        processors.left_out += 1
        return
    for index in range(processors.count):
        if processors.apic_ids[index] == apic_id:
            return
    processors.apic_ids[processors.count] = apic_id
    processors.count += 1


def initialise() -> None:
    """All are named, perhaps none: the boot processor, which is running this, becomes the first."""
    own = apic.identity()
    at: u32 = u32(0)
    while at < processors.count and processors.apic_ids[at] != own:
        at += 1
    if at == processors.count:
        if at == MAX_CPUS:
            at = u32(MAX_CPUS - 1)
        else:
            processors.count += 1
    while at > 0:
        processors.apic_ids[at] = processors.apic_ids[at - 1]
        at -= 1
    processors.apic_ids[0] = own
    if processors.left_out != 0:
        log.warn(f"{processors.left_out} processors cannot be used: beyond {MAX_CPUS}, or with APIC ids above 254")


class Turn:
    """Whose turn it is to get the next device's interrupts."""

    next: Atomic[u32]

    def __init__(self) -> None:
        self.next = Atomic(0)


turn = Turn()


def next_target() -> u32:
    """The APIC id of the processor that is to get a device's interrupts: those that run, by turns."""
    wanted = turn.next.fetch_add(1) % u32(popcount(online_mask()))
    left = online_mask()
    while wanted != 0:
        left &= left - 1
        wanted -= 1
    return processors.apic_ids[u32(trailing_zeros(left))]


def count() -> u32:
    """How many there are, running or not."""
    return processors.count


def online_mask() -> u64:
    """Those that run."""
    return processors.online.load_relaxed()
