# SPDX-License-Identifier: Apache-2.0
"""Tasks as the processor sees them: a kernel stack, a trap frame at its top, FPU state above that, two segment bases.

A user task's kernel stack, from the top: FPU state (fpu.layout.area_size, 64-byte aligned); below it, 16-byte aligned,
the *entry stack*, where the processor starts to push; the trap frame of the entry from user mode is thus always at
entry_stack - 168. The scheduler calls switch() with interrupts off. What switch() leaves on a sleeping stack is six
words and a return address. """

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from kaa.kernel.arch.x86_64 import descriptors, entry, fpu, instructions, irq, page_table, percpu
from kaa.kernel.arch.x86_64.regs import Registers
from kaa.kernel.arch.x86_64.stacks import STACK_SIZE, TASK_STACK, TRAP_FRAME, allocate_stack, free_stack
from kaa.lang import borrowed, entry_point, export, inline, sizeof, struct, u32, u64, unreachable
from kaa.lang.unsafe import Ptr, address_of, asm, symbol

if TYPE_CHECKING:
    from kaa.kernel.arch.x86_64.percpu import CpuLocal
    from kaa.kernel.process.task import Task

MSR_FS_BASE = 0xC0000100
FRAME_SIZE = 168

__all__ = ["STACK_SIZE", "allocate_stack", "free_stack"]


@asm("", out="=r", ins=["0"])
def _address(function: Callable[[u64], None]) -> u64:
    """The address of the function that a reference is."""
    return u64(0)


@struct
class Context:
    """What the processor needs to go on with a task that is not running."""

    stack: u64 = 0
    entry_stack: u64 = 0
    fpu_state: u64 = 0
    fs_base: u64 = 0
    gs_base: u64 = 0
    entry: u64 = 0
    argument: u64 = 0
    user: u32 = 0
    x87_clean: u32 = 0
    """Whether the stored x87 registers are known to be clean (fpu.py)."""


def _lay_out(context: Context, top: u64) -> None:
    """Find the places of FPU state and trap frame below `top`."""
    context.fpu_state = (top - fpu.layout.area_size) & 0xFFFF_FFFF_FFFF_FFC0
    context.entry_stack = context.fpu_state


def _prepare(context: Context, frame: u64, first: u64, argument: u64) -> None:
    """Let the first switch() go to the function at `first`, with `argument` in rbx, on a stack that ends below
    `frame`."""
    words = Ptr[u64](frame) - 7
    for index in range(6):
        words[index] = 0
    words[4] = argument
    words[6] = first
    context.stack = words.address


def new_kernel_thread(task: Task, entry_point: Callable[[u64], None], argument: u64) -> None:
    """Prepare task.kernel_stack so that the task starts in `entry_point(argument)`, after
    sched.core.finish_switch()."""
    context = task.context
    _lay_out(context, task.kernel_stack)
    context.entry = _address(entry_point)
    context.argument = argument
    context.user = 0
    _prepare(context, context.entry_stack - FRAME_SIZE - 8, symbol("kaa_thread_start"), address_of(context))


def fork_return(child: Task, regs: Registers) -> None:
    """Prepare the child of the running task: it will return from the system call in `regs` with 0, with the parent's
    FPU state."""
    context = child.context
    _lay_out(context, child.kernel_stack)
    parent = percpu.current().context
    context.fs_base = parent.fs_base
    context.gs_base = parent.gs_base
    context.user = 1
    if parent.user != 0:
        saved = irq.save()
        context.x87_clean = fpu.look(parent.fpu_state)
        irq.restore(saved)
        fpu.duplicate(context.fpu_state, parent.fpu_state)
    else:
        fpu.clear(context.fpu_state)
    frame = _frame(context)
    frame[0] = regs
    frame.place().rax = 0
    _prepare(context, frame.address, symbol("kaa_fork_start"), u64(0))


def _frame(context: Context) -> Ptr[Registers]:
    """Where the trap frame of entries from user mode lies."""
    return Ptr[Registers](context.entry_stack - FRAME_SIZE)


@inline
@borrowed
def user_registers(task: Task) -> Registers:
    """The frame of the task's last entry from user mode."""
    return _frame(task.context).place()


def enter_user(task: Task) -> NoReturn:
    """Turn the running kernel thread into a user program: leave through its (filled in) user_registers()."""
    irq.disable()
    context = task.context
    become_user(task)
    entry.enter_user_at(context.entry_stack - FRAME_SIZE)
    unreachable()


def become_user(task: Task) -> None:
    """The running task is a user's from now on: its segment bases and FPU state are the processor's. execve calls
    it."""
    saved = irq.save()
    context = task.context
    if context.user == 0:
        context.user = 1
        fpu.clear(context.fpu_state)
    _load_user_state(percpu.local(), context, u32(0))
    irq.restore(saved)


def reset_fpu(task: Task) -> None:
    """execve: fresh FPU state, no thread-local storage. The task is the running one."""
    saved = irq.save()
    context = task.context
    context.user = 1
    context.fs_base = 0
    context.gs_base = 0
    fpu.clear(context.fpu_state)
    _load_user_state(percpu.local(), context, u32(0))
    irq.restore(saved)


def set_tls(task: Task, base: u64) -> None:
    """Set the thread pointer (fs base), for a task that runs or does not."""
    task.context.fs_base = base
    if task is percpu.current():
        instructions.write_msr(MSR_FS_BASE, base)


def set_gs(task: Task, base: u64) -> None:
    """Set the user's gs base, for a task that runs or does not."""
    task.context.gs_base = base
    if task is percpu.current():
        saved = irq.save()
        _load_gs(percpu.local(), base)
        irq.restore(saved)


def _load_gs(local: CpuLocal, base: u64) -> None:
    local.user_gs = base
    instructions.write_msr(percpu.MSR_KERNEL_GS_BASE, base)


@inline
def _load_user_state(local: CpuLocal, context: Context, clean: u32) -> None:
    """Make the processor carry a user task's state. `clean`: x87 registers, here and there. Interrupts are off."""
    local.entry_stack = context.entry_stack
    descriptors.set_kernel_stack(context.entry_stack)
    instructions.write_msr(MSR_FS_BASE, context.fs_base)
    if context.gs_base != local.user_gs:
        _load_gs(local, context.gs_base)
    fpu.load_beside(context.fpu_state, clean)


def switch(prev: Task, next: Task) -> None:
    """Stop running `prev` here, go on with `next` where it stopped. Interrupts are off, and the
    scheduler has made `next` the current task."""
    old = prev.context
    new = next.context
    local = percpu.local()
    if old.user != 0:
        local.x87_clean = fpu.leave(old.fpu_state)
        old.x87_clean = local.x87_clean
    mm = next.mm
    if mm is not None:
        mm.page_table.activate()
    else:
        page_table.finish_leaving()
    if new.user != 0:
        _load_user_state(local, new, local.x87_clean & new.x87_clean)
    entry.switch_stack(address_of(old), new.stack)


@entry_point("thread", interrupts=False, stack=TASK_STACK, frame=TRAP_FRAME, holds=("RunQueue.lock",))
@export("kaa_thread_begin")
def thread_begin(context: Context) -> None:
    """The first thing a new kernel thread does."""
    from kaa.kernel.sched import core

    core.finish_switch()
    irq.enable()
    entry.call_entry(context.entry, context.argument)


@entry_point("thread", interrupts=False, stack=TASK_STACK, frame=TRAP_FRAME, holds=("RunQueue.lock",))
@export("kaa_fork_begin")
def fork_begin(regs: Registers) -> None:
    """The first thing a forked task does: what follows every switch, then what is due before user mode."""
    from kaa.kernel.arch.x86_64 import traps
    from kaa.kernel.sched import core

    core.finish_switch()
    traps.leave_to_user(regs)


assert sizeof(Registers) == FRAME_SIZE
