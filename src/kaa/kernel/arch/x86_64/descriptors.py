# SPDX-License-Identifier: Apache-2.0
"""Descriptor tables: the task state segment with its stacks, the interrupt table, and the MSRs of SYSCALL (Intel SDM 3,
6 and 7).

Each processor has a task state segment and a table of segments of its own, in its area (percpu.py); the interrupt table
is everyone's. The last segment's limit is the processor's number: LSL tells it to user programs (the vDSO's getcpu)."""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import instructions, percpu
from kaa.kernel.arch.x86_64.regs import KERNEL_CODE
from kaa.lang import ZERO, Array, offset_of, sizeof, struct, u8, u16, u32, u64
from kaa.lang.unsafe import Ptr, address_of, asm, symbol

MSR_STAR = 0xC0000081
MSR_LSTAR = 0xC0000082
MSR_SYSCALL_MASK = 0xC0000084
SYSCALL_CLEARS = 0x257FD5
"""Flags that SYSCALL clears: all but the reserved one and the identification bit's neighbours; so TF, IF, DF, NT, AC
too."""
TSS_SELECTOR = 0x40
COMMON_SEGMENTS = 8
TABLE_LIMIT = 11 * 8 - 1
NUMBER_SEGMENT = 0x0040_F100_0000_0000
"""Present, privilege 3, read-only data, limit in bytes; selector 0x53."""
INTERRUPT_GATE = 0x8E
USER_GATE = 0xEE
STUB_SIZE = 16
FAULT_STACK = 1
NMI_STACK = 2
MACHINE_CHECK_STACK = 3


@struct(packed=True)
class TaskState:
    """The 64-bit task state segment."""

    reserved0: u32 = 0
    ring0_stack: u64 = 0
    ring1_stack: u64 = 0
    ring2_stack: u64 = 0
    reserved1: u64 = 0
    interrupt_stacks: Array[u64, 7] = ZERO
    reserved2: u64 = 0
    reserved3: u16 = 0
    io_map: u16 = 0


@struct(packed=True)
class TablePointer:
    """What LGDT and LIDT load."""

    limit: u16 = 0
    base: u64 = 0


@asm("lgdt (%0)", out=None, ins=["r"], clobber="memory")
def _lgdt(pointer: u64) -> None:
    pass


@asm("lidt (%0)", out=None, ins=["r"], clobber="memory")
def _lidt(pointer: u64) -> None:
    pass


@asm("ltr %w0", out=None, ins=["r"], clobber="memory")
def _ltr(selector: u16) -> None:
    pass


assert percpu.TASK_STATE + sizeof(TaskState) <= percpu.DESCRIPTORS
_RING0_STACK = percpu.TASK_STATE + offset_of(TaskState, "ring0_stack")


@asm(f"movq %0, %%gs:{_RING0_STACK}", out=None, ins=["r"], clobber="memory")
def set_kernel_stack(top: u64) -> None:
    """Where interrupts from user mode start to push on this processor: its task state segment's ring0_stack."""


def prepare(area: u64, number: u32, fault_stack: u64, nmi_stack: u64, machine_check_stack: u64) -> None:
    """Fill a processor's task state segment and table of segments."""
    tss = area + percpu.TASK_STATE
    state = Ptr[TaskState](tss).place()
    state.io_map = 104
    state.interrupt_stacks[FAULT_STACK - 1] = fault_stack
    state.interrupt_stacks[NMI_STACK - 1] = nmi_stack
    state.interrupt_stacks[MACHINE_CHECK_STACK - 1] = machine_check_stack
    gdt = Ptr[u64](area + percpu.DESCRIPTORS)
    common = Ptr[u64](symbol("kaa_gdt"))
    for index in range(COMMON_SEGMENTS):
        gdt[index] = common[index]
    gdt[8] = 103 | (tss & 0xFFFFFF) << 16 | 0x89 << 40 | ((tss >> 24) & 0xFF) << 56
    gdt[9] = tss >> 32
    gdt[10] = NUMBER_SEGMENT | u64(number)


def load(area: u64) -> None:
    """Let this processor use its prepared area's tables and the interrupt table, and tell SYSCALL where to go.
    Interrupts are off."""
    pointer = TablePointer(TABLE_LIMIT, area + percpu.DESCRIPTORS)
    _lgdt(address_of(pointer))
    _ltr(TSS_SELECTOR)
    interrupts = TablePointer(4095, symbol("kaa_idt"))
    _lidt(address_of(interrupts))
    instructions.write_msr(MSR_STAR, 0x0023_0010 << 32)
    instructions.write_msr(MSR_LSTAR, symbol("kaa_syscall_entry"))
    instructions.write_msr(MSR_SYSCALL_MASK, SYSCALL_CLEARS)


def _gate(vector: u32, kind: u8, stack: u8) -> None:
    """Fill one entry of the interrupt table."""
    target = symbol("kaa_trap_stubs") + u64(vector) * STUB_SIZE
    entry = Ptr[u64](symbol("kaa_idt")) + 2 * u64(vector)
    low = (target & 0xFFFF) | KERNEL_CODE << 16 | u64(stack) << 32 | u64(kind) << 40
    entry[0] = low | ((target >> 16) & 0xFFFF) << 48
    entry[1] = target >> 32


def _fill_interrupts() -> None:
    for vector in range(256):
        _gate(u32(vector), INTERRUPT_GATE, 0)
    _gate(2, INTERRUPT_GATE, NMI_STACK)
    _gate(3, USER_GATE, 0)
    _gate(4, USER_GATE, 0)
    _gate(8, INTERRUPT_GATE, FAULT_STACK)
    _gate(18, INTERRUPT_GATE, MACHINE_CHECK_STACK)


def initialise() -> None:
    """The boot processor's tables, and the interrupt table for all."""
    area = symbol("kaa_boot_cpu")
    faults, interrupts = symbol("kaa_fault_stack_top"), symbol("kaa_nmi_stack_top")
    prepare(area, u32(0), faults, interrupts, symbol("kaa_machine_check_stack_top"))
    _fill_interrupts()
    load(area)
    set_kernel_stack(symbol("kaa_boot_stack_top"))
