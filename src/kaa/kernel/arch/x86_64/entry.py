# SPDX-License-Identifier: Apache-2.0
"""The ways into the kernel and out: 256 interrupt stubs, SYSCALL, and the returns. Assembly only.

Invariants:
- In the kernel gs is the per-CPU area; every entry from user mode swaps it in, every return swaps it out, with
interrupts off.
- Every entry leaves a regs.Registers frame. From user mode it lies at the top of the task's kernel stack.
- Double fault, NMI and machine check may hit anywhere, even between SYSCALL and swapgs: they have stacks of their own
(IST) and
  learn from the gs base MSR whether to swap (a kernel address has its top bit set).
- SYSRET with a non-canonical rcx would fault in ring 0 on Intel processors (SDM 2 SYSRET): such returns take IRET, as
does every
  frame whose rip or rflags no longer match what SYSCALL saved in rcx and r11.
- The direction flag and alignment check are cleared at each entry: C code expects the one, SMAP the other.

Sources: Intel SDM 3 chapter 6 (interrupts), 2 (SYSCALL, SYSRET, SWAPGS, IRET); System V ABI AMD64 A.2.
"""

from __future__ import annotations

from kaa.lang import calls_addresses, export, naked, u64

ERROR_CODE_VECTORS = (8, 10, 11, 12, 13, 14, 17, 21, 29, 30)
"""Exceptions for which the processor pushes an error code (Intel SDM 3, table 6-1; 29 and 30 are AMD's)."""
PARANOID_VECTORS = (2, 8, 18)

PUSH_REST = """
        pushq %rsi
        pushq %rdx
        pushq %rcx
        pushq %rax
        pushq %r8
        pushq %r9
        pushq %r10
        pushq %r11
        pushq %rbx
        pushq %rbp
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
"""

POP_ALL = """
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbp
        popq %rbx
        popq %r11
        popq %r10
        popq %r9
        popq %r8
        popq %rax
        popq %rcx
        popq %rdx
        popq %rsi
        popq %rdi
"""

CLAC = """
991:    .byte 0x0f, 0x1f, 0x00
        .pushsection .kaa_smap, "a"
        .quad 991b, 0
        .popsection
"""
"""A three-byte no-operation that smap.py replaces by CLAC where the processor has SMAP."""

STAC = CLAC.replace("991b, 0", "991b, 1")


def _stub(vector: int) -> str:
    """One entry of the interrupt table: error code (or 0), vector, onward. 16 bytes each."""
    error = "" if vector in ERROR_CODE_VECTORS else "pushq $0\n"
    target = "kaa_paranoid_entry" if vector in PARANOID_VECTORS else "kaa_trap_common"
    return f"        .balign 16\n        {error}        pushq ${vector}\n        jmp {target}\n"


STUBS = "".join(_stub(vector) for vector in range(256))


@export("kaa_trap_stubs")
@naked(STUBS)
def trap_stubs() -> None:
    """256 stubs, 16 bytes apart."""


@export("kaa_trap_common")
@naked(f"""
        xchgq %rdi, (%rsp)
        {PUSH_REST}
        cld
        {CLAC}
        movq %rsp, %rsi
        testb $3, 0x88(%rsp)
        jz 1f
        swapgs
        xorl %ebp, %ebp
        call kaa_interrupt
        jmp kaa_return_from_trap
1:      pushq 0x80(%rsi)
        pushq 0x20(%rsi)
        movq %rsp, %rbp
        call kaa_interrupt
        addq $16, %rsp
        jmp kaa_return_from_trap
""")
def trap_common() -> None:
    """Finish the frame and call kaa_interrupt(vector, registers), which comes back with interrupts off. In kernel mode
    the interrupted function becomes the caller in the chain of frame pointers, so that tracebacks go on through the
    trap."""


@export("kaa_return_from_trap")
@naked(f"""
        testb $3, 0x88(%rsp)
        jz 1f
        movq 0x80(%rsp), %rax
        shrq $47, %rax
        jnz 2f
        swapgs
1:      {POP_ALL}
        addq $8, %rsp
        iretq
2:      movq %rsp, %rdi
        call kaa_bad_return
        jmp kaa_return_from_trap
""")
def return_from_trap() -> None:
    """Back to what the frame at rsp says, interrupts being off. A user program counter that is not a user address never
    reaches IRET, which would fault in ring 0 with the user's gs: kaa_bad_return(registers) makes it a SIGSEGV."""


@export("kaa_paranoid_entry")
@naked(f"""
        xchgq %rdi, (%rsp)
        {PUSH_REST}
        cld
        {CLAC}
        movl $0xc0000101, %ecx
        rdmsr
        xorl %ebx, %ebx
        testl %edx, %edx
        js 1f
        swapgs
        movl $1, %ebx
1:      movq %rsp, %rsi
        pushq 0x80(%rsi)
        pushq 0x20(%rsi)
        movq %rsp, %rbp
        testb $3, 0x88(%rsi)
        jz 2f
        xorl %ebp, %ebp
2:      call kaa_interrupt_paranoid
        addq $16, %rsp
        testl %ebx, %ebx
        jz 3f
        swapgs
3:      {POP_ALL}
        addq $8, %rsp
        iretq
""")
def paranoid_entry() -> None:
    """Entry on a stack of its own: gs may be either side's. Calls kaa_interrupt_paranoid(vector, registers); never
    reschedules."""


@export("kaa_syscall_entry")
@naked(f"""
        swapgs
        movq %rsp, %gs:24
        movq %gs:16, %rsp
        pushq $0x2b
        pushq %gs:24
        pushq %r11
        pushq $0x33
        pushq %rcx
        pushq %rax
        pushq %rdi
        {PUSH_REST}
        sti
        movq %rsp, %rdi
        xorl %ebp, %ebp
        call kaa_syscall
        .globl kaa_return_from_syscall
kaa_return_from_syscall:
        movq 0x80(%rsp), %rcx
        cmpq %rcx, 0x58(%rsp)
        jne kaa_return_from_trap
        movq 0x90(%rsp), %r11
        cmpq %r11, 0x30(%rsp)
        jne kaa_return_from_trap
        testl $0x10100, %r11d
        jnz kaa_return_from_trap
        movq %rcx, %rdx
        shrq $47, %rdx
        jnz kaa_return_from_trap
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbp
        popq %rbx
        addq $8, %rsp
        popq %r10
        popq %r9
        popq %r8
        popq %rax
        addq $8, %rsp
        popq %rdx
        popq %rsi
        popq %rdi
        movq 0x20(%rsp), %rsp
        swapgs
        sysretq
""")
def syscall_entry() -> None:
    """SYSCALL: rip in rcx, rflags in r11, interrupts off by the flag mask. Calls kaa_syscall(registers), which also
    does the work due before a return to user mode and comes back with interrupts off; then the fast or the careful way
    back."""


@export("kaa_thread_start")
@naked("""
        xorl %ebp, %ebp
        movq %rbx, %rdi
        call kaa_thread_begin
        ud2
""")
def thread_start() -> None:
    """A new kernel thread's first instruction: context.py left its Context's address in rbx."""


@export("kaa_fork_start")
@naked("""
        xorl %ebp, %ebp
        movq %rsp, %rdi
        call kaa_fork_begin
        jmp kaa_return_from_trap
""")
def fork_start() -> None:
    """A new task's way to user mode: rsp is at its trap frame."""


@export("kaa_enter_user")
@naked("""
        movq %rdi, %rsp
        xorl %ebp, %ebp
        call kaa_leave_to_user
        jmp kaa_return_from_trap
""")
def enter_user_at(registers: u64) -> None:
    """Leave the present stack for the frame at `registers`, and the kernel through it."""


@export("kaa_switch_stack")
@naked("""
        pushq %rbp
        pushq %rbx
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        movq %rsp, (%rdi)
        movq %rsi, %rsp
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbx
        popq %rbp
        ret
""")
def switch_stack(save_at: u64, stack: u64) -> None:
    """Store this stack pointer at `save_at`, continue on `stack` (System V ABI: rbx rbp r12-r15 are the callee's to
    keep)."""


@calls_addresses
@export("kaa_call_entry")
@naked("""
        movq %rdi, %rax
        movq %rsi, %rdi
        jmp *%rax
""")
def call_entry(address: u64, argument: u64) -> None:
    """Call the function at `address` with one argument."""
