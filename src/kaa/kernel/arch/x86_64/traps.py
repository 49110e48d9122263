# SPDX-License-Identifier: Apache-2.0
"""What entry.py calls: interrupts and exceptions by vector, and the work due before a return to user mode.

Exceptions of user mode become signals; those of the kernel are looked up among the landing places of user copies, and
are a bug otherwise. All gates are interrupt gates: handlers start with interrupts off; exceptions turn them on when
they were."""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import instructions, ipi, irq, paging, percpu
from kaa.kernel.arch.x86_64.fixups import landing
from kaa.kernel.arch.x86_64.regs import Registers
from kaa.kernel.arch.x86_64.stacks import TASK_STACK, TRAP_FRAME
from kaa.lang import cold, entry_point, export, i32, u32, u64

PAGE_FAULT = 14
DOUBLE_FAULT = 8
NMI = 2
FIRST_INTERRUPT = 32

ACCESS_WRITE = 1
ACCESS_EXECUTE = 2
ACCESS_USER = 4

SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV = 4, 5, 7, 8, 11
SI_KERNEL = 128
FPE_INTDIV, FPE_FLTINV, ILL_ILLOPN, TRAP_BRKPT, TRAP_TRACE, BUS_ADRALN = 1, 7, 2, 1, 2, 1


@entry_point(
    "interrupt", interrupts=False, stack=TASK_STACK, frame=TRAP_FRAME, nested=("irq.dispatch", "core.preempt")
)
@export("kaa_interrupt")
def interrupt(vector: u64, regs: Registers) -> None:
    """Every interrupt and exception but the paranoid ones. Comes back with interrupts off."""
    if vector == PAGE_FAULT:
        page_fault(regs)
    elif vector >= FIRST_INTERRUPT:
        percpu.enter_interrupt()
        percpu.note_interrupted(u32(1) if regs.user_mode() else u32(0))
        irq.dispatch(u32(vector))
        percpu.leave_interrupt()
    elif regs.user_mode():
        irq.enable()
        user_exception(u32(vector), regs)
    else:
        kernel_exception(u32(vector), regs)
    leave(regs)


def leave(regs: Registers) -> None:
    """What is due before going back: work before user mode, or preemption of interruptible kernel code."""
    if regs.user_mode():
        leave_to_user(regs)
    elif percpu.need_resched() and regs.interrupts_on() and percpu.preempt_count() == 0:
        from kaa.kernel.sched import core

        irq.disable()
        core.preempt()
        irq.disable()
    else:
        irq.disable()


@entry_point("return to user mode", stack=TASK_STACK, frame=TRAP_FRAME)
@export("kaa_leave_to_user")
def leave_to_user(regs: Registers) -> None:
    """Before user mode: reschedule and deliver signals until nothing is due; leaves interrupts off."""
    irq.disable()
    while percpu.current().work.load() != 0 or percpu.need_resched():
        _do_work(regs)
        irq.disable()


@cold
def _do_work(regs: Registers) -> None:
    from kaa.kernel.sched import core
    from kaa.kernel.signal import deliver

    irq.enable()
    if percpu.need_resched():
        core.preempt()
    if percpu.current().work.load() != 0:
        deliver.return_to_user(regs)


def page_fault(regs: Registers) -> None:
    """#PF (Intel SDM 3, 4.7): error code bit 1 write, 2 user, 3 reserved bit, 4 instruction fetch."""
    from kaa.kernel.mm import page_fault as handler

    address = instructions.read_cr2()
    error = regs.orig_rax
    access: u32 = u32((error >> 1) & 1 | error & 4 | (error >> 3) & 2)
    if regs.user_mode():
        regs.forget_system_call()
        irq.enable()
        handler.handle(address, access, regs)
        return
    if error & 8 == 0 and address < paging.USER_END and landing(regs.rip) != 0:
        if _user_fault_in_kernel(address, access, regs):
            return
    elif landing(regs.rip) != 0 and address < paging.USER_END:
        regs.rip = landing(regs.rip)
        return
    kernel_fault(u32(PAGE_FAULT), regs, address)


def _user_fault_in_kernel(address: u64, access: u32, regs: Registers) -> bool:
    """A user copy touched a page that is not there: have it brought in, or go on at the copy's landing place. With
    preemption or interrupts off nothing may be brought in: the copy fails at once."""
    from kaa.kernel.mm import page_fault as handler

    if regs.interrupts_on() and percpu.preempt_count() == 0 and percpu.has_current():
        irq.enable()
        if percpu.current().mm is not None and handler.handle(address, access, regs):
            return True
    regs.rip = landing(regs.rip)
    return True


def user_exception(vector: u32, regs: Registers) -> None:
    """An exception of a user program becomes a signal, with the codes of sigaction(2)."""
    regs.forget_system_call()
    match vector:
        case 0:
            _signal(SIGFPE, FPE_INTDIV, regs.rip, regs)
        case 1:
            regs.rflags = regs.rflags & 0xFFFF_FFFF_FFFF_FEFF
            _signal(SIGTRAP, TRAP_TRACE, regs.rip, regs)
        case 3:
            _signal(SIGTRAP, SI_KERNEL, 0, regs)
        case 6:
            _signal(SIGILL, ILL_ILLOPN, regs.rip, regs)
        case 16 | 19:
            _signal(SIGFPE, FPE_FLTINV, regs.rip, regs)
        case 12 | 11:
            _signal(SIGBUS, SI_KERNEL, 0, regs)
        case 17:
            _signal(SIGBUS, BUS_ADRALN, 0, regs)
        case _:
            _signal(SIGSEGV, SI_KERNEL, 0, regs)


def _signal(number: i32, code: i32, address: u64, regs: Registers) -> None:
    from kaa.kernel.signal import deliver

    deliver.exception(number, code, address, regs)


@entry_point("exception", interrupts=False, stack=TASK_STACK, frame=TRAP_FRAME)
@export("kaa_bad_return")
def bad_return(regs: Registers) -> None:
    """A user's program counter is no user address: SIGSEGV, as the jump there would have given."""
    irq.enable()
    _signal(SIGSEGV, SI_KERNEL, 0, regs)
    regs.rip = 0
    leave_to_user(regs)


@cold
def kernel_exception(vector: u32, regs: Registers) -> None:
    """An exception in the kernel: a user copy to a non-canonical address lands, all else is a bug."""
    target = landing(regs.rip)
    if vector == 13 and target != 0:
        regs.rip = target
        return
    kernel_fault(vector, regs, u64(0))


@cold
def kernel_fault(vector: u32, regs: Registers, address: u64) -> None:
    """A bug of the kernel found by the processor: traceback, and the machine stops."""
    from kaa.kernel.arch import traceback

    traceback.fault(vector, regs, address)


@entry_point("NMI", interrupts=False)
@export("kaa_interrupt_paranoid")
def paranoid(vector: u64, regs: Registers) -> None:
    """NMI, double fault, machine check: on a stack of its own, anything may be half done. An NMI is counted; the others
    are the end."""
    if vector == NMI:
        ipi.stop_if_wanted()
        percpu.local().nmi_count += 1
        return
    kernel_fault(u32(vector), regs, instructions.read_cr2() if vector == DOUBLE_FAULT else u64(0))
