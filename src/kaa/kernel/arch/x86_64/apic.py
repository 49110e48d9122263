# SPDX-License-Identifier: Apache-2.0
"""The local APIC: where interrupts arrive, and the timer (Intel SDM 3 chapter 11). xAPIC mode, registers in memory.

The legacy 8259 pair is moved out of the exceptions' vectors and masked: everything comes through the I/O APIC.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import instructions
from kaa.kernel.arch.x86_64.window import Window, open_window
from kaa.lang import u32, u64

MSR_APIC_BASE = 0x1B
MSR_TSC_DEADLINE = 0x6E0
ENABLED = 1 << 11

ID = 0x20
TASK_PRIORITY = 0x80
END_OF_INTERRUPT = 0xB0
SPURIOUS = 0xF0
LVT_TIMER = 0x320
LVT_PERFORMANCE = 0x340
LVT_LINT0 = 0x350
LVT_LINT1 = 0x360
LVT_ERROR = 0x370
COMMAND_LOW = 0x300
COMMAND_HIGH = 0x310
TIMER_INITIAL = 0x380
TIMER_CURRENT = 0x390
TIMER_DIVIDE = 0x3E0

MASKED = 1 << 16
DEADLINE_MODE = 2 << 17
DELIVER_NMI = 4 << 8
DIVIDE_BY_ONE = 0xB

COMMAND_PENDING = 1 << 12
INIT = 0x4500
STARTUP = 0x4600
NMI = 0x4400
FIXED = 0x4000
"""What a command delivers (11.6.1); with FIXED goes a vector, with STARTUP a page number below 1 MiB."""

TIMER_VECTOR = 240
RESCHEDULE_VECTOR = 241
CALL_VECTOR = 242
KICK_VECTOR = 243
ERROR_VECTOR = 254
SPURIOUS_VECTOR = 255


class LocalApic:
    """Its registers, at the same address on each processor; an empty window before initialise()."""

    registers: Window

    def __init__(self) -> None:
        self.registers = Window()


local_apic = LocalApic()


def read(register: u64) -> u32:
    """A register."""
    return local_apic.registers.read32(register)


def write(register: u64, value: u32) -> None:
    """A register."""
    local_apic.registers.write32(register, value)


def end_of_interrupt() -> None:
    """The interrupt being handled is done with."""
    write(END_OF_INTERRUPT, 0)


def identity() -> u32:
    """This processor's APIC id."""
    return read(ID) >> 24


def initialise() -> None:
    """Mask the old controllers, switch the boot processor's local APIC on. Raises MemoryError (mapping)."""
    _mask_pic()
    base = instructions.read_msr(MSR_APIC_BASE)
    local_apic.registers = open_window(base & 0xF_FFFF_F000, 4096)
    enable()


def enable() -> None:
    """Switch this processor's on, its timer masked."""
    instructions.write_msr(MSR_APIC_BASE, instructions.read_msr(MSR_APIC_BASE) | ENABLED)
    write(TASK_PRIORITY, 0)
    write(LVT_TIMER, MASKED)
    write(LVT_PERFORMANCE, MASKED)
    write(LVT_LINT0, MASKED)
    write(LVT_LINT1, DELIVER_NMI)
    write(LVT_ERROR, ERROR_VECTOR)
    write(SPURIOUS, SPURIOUS_VECTOR | 0x100)
    write(TIMER_DIVIDE, DIVIDE_BY_ONE)


def send(destination: u32, command: u32) -> None:
    """Give a command to the processor with that APIC id. Interrupts are off: the command's halves belong together."""
    while read(COMMAND_LOW) & COMMAND_PENDING != 0:
        instructions.pause()
    write(COMMAND_HIGH, destination << 24)
    write(COMMAND_LOW, command)


def _mask_pic() -> None:
    """Initialise both 8259s to vectors 32-47 (a spurious one may still come), then mask every line."""
    for port in (0x20, 0xA0):
        instructions.out8(port, 0x11)
    instructions.out8(0x21, 32)
    instructions.out8(0xA1, 40)
    instructions.out8(0x21, 4)
    instructions.out8(0xA1, 2)
    for port in (0x21, 0xA1):
        instructions.out8(port, 1)
        instructions.out8(port, 0xFF)


def timer_mode(deadline: bool) -> None:
    """Unmask the timer: against the TSC, or one shot of its own count."""
    write(LVT_TIMER, TIMER_VECTOR | DEADLINE_MODE if deadline else TIMER_VECTOR)


def arm_count(count: u32) -> None:
    """Let the one-shot timer fire after `count` of its ticks; 0 stops it."""
    write(TIMER_INITIAL, count)


def arm_deadline(tsc: u64) -> None:
    """Let the timer fire when the TSC reaches `tsc`; 0 stops it."""
    instructions.write_msr(MSR_TSC_DEADLINE, tsc)
