# SPDX-License-Identifier: Apache-2.0
"""The trap frame: every way into the kernel leaves the same 21 words at the top of the kernel stack.

`orig_rax` is the system call's number, the exception's error code, or NO_SYSTEM_CALL. entry.py pushes in this order,
and Linux's `struct user_regs_struct` starts with the same order.
"""

from __future__ import annotations

from kaa.lang import i64, struct, u32, u64

KERNEL_CODE = 0x10
KERNEL_DATA = 0x18
USER_DATA = 0x2B
USER_CODE = 0x33

CARRY_FLAG = 1 << 0
TRAP_FLAG = 1 << 8
INTERRUPT_FLAG = 1 << 9
DIRECTION_FLAG = 1 << 10
RESUME_FLAG = 1 << 16
ALIGNMENT_FLAG = 1 << 18
USER_FLAGS = 0x50DD5
"""The flags sigreturn may set: CF PF AF ZF SF TF DF OF RF AC."""

NO_SYSTEM_CALL = 0xFFFF_FFFF_FFFF_FFFF


@struct
class Registers:
    """The registers of an interrupted context, in the order they lie in memory."""

    r15: u64 = 0
    r14: u64 = 0
    r13: u64 = 0
    r12: u64 = 0
    rbp: u64 = 0
    rbx: u64 = 0
    r11: u64 = 0
    r10: u64 = 0
    r9: u64 = 0
    r8: u64 = 0
    rax: u64 = 0
    rcx: u64 = 0
    rdx: u64 = 0
    rsi: u64 = 0
    rdi: u64 = 0
    orig_rax: u64 = 0
    rip: u64 = 0
    cs: u64 = 0
    rflags: u64 = 0
    rsp: u64 = 0
    ss: u64 = 0

    def user_mode(self) -> bool:
        """Was the processor in user mode?"""
        return self.cs & 3 != 0

    def interrupts_on(self) -> bool:
        """Were interrupts enabled?"""
        return self.rflags & INTERRUPT_FLAG != 0

    def stack_pointer(self) -> u64:
        """The interrupted stack pointer."""
        return self.rsp

    def set_stack_pointer(self, value: u64) -> None:
        """Change the stack pointer the context continues with."""
        self.rsp = value

    def program_counter(self) -> u64:
        """Address of the next instruction."""
        return self.rip

    def set_program_counter(self, value: u64) -> None:
        """Change where the context continues."""
        self.rip = value

    def result(self) -> i64:
        """The system call's result."""
        return i64(self.rax)

    def set_result(self, value: i64) -> None:
        """Set the system call's result."""
        self.rax = u64(value)

    def system_call(self) -> u64:
        """The number of the system call being made, or NO_SYSTEM_CALL."""
        return self.orig_rax

    def forget_system_call(self) -> None:
        """No system call is being made (any more): nothing to restart."""
        self.orig_rax = NO_SYSTEM_CALL

    def restart_system_call(self) -> None:
        """Go back to the SYSCALL instruction (two bytes), with its number again in rax; the other arguments are as they
        were."""
        self.rax = self.orig_rax
        self.rip = self.rip - 2
        self.orig_rax = NO_SYSTEM_CALL

    def set_system_call(self, number: u64) -> None:
        """Replace the number a restart will use (restart_syscall)."""
        self.orig_rax = number

    def argument(self, index: u32) -> u64:
        """A system call's argument, 0 to 5."""
        match index:
            case 0:
                return self.rdi
            case 1:
                return self.rsi
            case 2:
                return self.rdx
            case 3:
                return self.r10
            case 4:
                return self.r8
            case _:
                return self.r9


def start_user(regs: Registers, entry: u64, stack: u64) -> None:
    """The state a new program starts with (System V ABI AMD64 3.4.1): all zero but the program counter and the
    stack."""
    regs.r15 = 0
    regs.r14 = 0
    regs.r13 = 0
    regs.r12 = 0
    regs.rbp = 0
    regs.rbx = 0
    regs.r11 = 0
    regs.r10 = 0
    regs.r9 = 0
    regs.r8 = 0
    regs.rax = 0
    regs.rcx = 0
    regs.rdx = 0
    regs.rsi = 0
    regs.rdi = 0
    regs.orig_rax = NO_SYSTEM_CALL
    regs.rip = entry
    regs.cs = USER_CODE
    regs.rflags = INTERRUPT_FLAG
    regs.rsp = stack
    regs.ss = USER_DATA
