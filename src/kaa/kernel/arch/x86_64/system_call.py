# SPDX-License-Identifier: Apache-2.0
"""From the SYSCALL instruction to the table: one bounds check, one indirect call."""

from __future__ import annotations

from kaa.kernel.abi import syscall as calls
from kaa.kernel.abi import unknown_calls
from kaa.kernel.arch.x86_64 import irq, percpu, traps
from kaa.kernel.arch.x86_64.regs import Registers
from kaa.kernel.arch.x86_64.stacks import TASK_STACK, TRAP_FRAME
from kaa.lang import entry_point, export, u64

TABLE_SIZE = 512


@entry_point("system call", stack=TASK_STACK, frame=TRAP_FRAME)
@export("kaa_syscall")
def system_call(regs: Registers) -> None:
    """Make the call that `regs` asks for, then what is due before user mode; comes back with interrupts off."""
    number = regs.orig_rax
    if number < TABLE_SIZE:
        result = calls.TABLE[number](regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9)
    else:
        result = unknown_calls.refuse(number)
    regs.rax = u64(result)
    irq.disable()
    if percpu.current().work.load() != 0 or percpu.need_resched():
        traps.leave_to_user(regs)
