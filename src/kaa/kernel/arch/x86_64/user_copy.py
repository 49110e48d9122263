# SPDX-License-Identifier: Apache-2.0
"""Copies between kernel and user memory, in assembly: the only code that may touch a user address.

Each instruction that can fault is listed in section .kaa_fixup as (start, end, landing): the trap code first asks mm to
bring the page in, and goes on at the landing place when it cannot. `rep movsq` counts as one instruction per word;
after a fault in it the rest is tried by bytes, so that the number of bytes not copied is exact.
A string goes by words while no byte of them is 0 (or above 0x80: (x - 0x01…) & 0x80… is then not 0), and by bytes from
there on, also where a word reaches into a page that is not there.
STAC and CLAC are three-byte no-operations until smap.py has found SMAP.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64.entry import CLAC, STAC
from kaa.lang import export, faults_unless_atomic, i64, isize, may_fault, naked, u32, u64, usize
from kaa.lang.unsafe import copy_bytes, memory, zero


def _fixup(start: str, end: str, landing: str) -> str:
    """One line of the table."""
    return f"""
        .pushsection .kaa_fixup, "a"
        .quad {start}, {end}, {landing}
        .popsection
"""


@may_fault
@export("kaa_user_copy")
@naked(f"""
        movq %rdx, %rcx
        {STAC}
        cmpq $8, %rdx
        jb 2f
        shrq $3, %rcx
        andl $7, %edx
1:      rep movsq
11:     movl %edx, %ecx
        testl %ecx, %ecx
        jz 3f
2:      rep movsb
3:      {CLAC}
        movq %rcx, %rax
        ret
4:      leaq (%rdx,%rcx,8), %rcx
        jmp 2b
        {_fixup("1b", "11b", "4b")}
        {_fixup("2b", "3b", "3b")}
""")
def copy(destination: u64, source: u64, size: usize) -> usize:
    """Copy; one side is user memory. Gives the number of bytes not copied."""
    copy_bytes(destination, source, size)
    return usize(0)


@may_fault
@export("kaa_user_clear")
@naked(f"""
        movq %rsi, %rcx
        xorl %eax, %eax
        {STAC}
        movl %ecx, %edx
        shrq $3, %rcx
        andl $7, %edx
1:      rep stosq
11:     movl %edx, %ecx
2:      rep stosb
3:      {CLAC}
        movq %rcx, %rax
        ret
4:      leaq (%rdx,%rcx,8), %rcx
        jmp 2b
        {_fixup("1b", "11b", "4b")}
        {_fixup("2b", "3b", "3b")}
""")
def clear(destination: u64, size: usize) -> usize:
    """Fill user memory with zeros. Gives the number of bytes not cleared."""
    zero(destination, size)
    return usize(0)


@may_fault
@export("kaa_user_copy_string")
@naked(f"""
        movq %rdx, %rcx
        xorl %eax, %eax
        {STAC}
        subq $8, %rdx
        movabsq $0x0101010101010101, %r10
        movabsq $0x8080808080808080, %r11
1:      cmpq %rdx, %rax
        jg 4f
2:      movq (%rsi,%rax), %r8
3:      movq %r8, %r9
        subq %r10, %r9
        testq %r11, %r9
        jnz 4f
        movq %r8, (%rdi,%rax)
        addq $8, %rax
        jmp 1b
4:      cmpq %rcx, %rax
        jae 7f
5:      movzbl (%rsi,%rax), %r8d
6:      movb %r8b, (%rdi,%rax)
        testb %r8b, %r8b
        jz 7f
        incq %rax
        jmp 4b
7:      {CLAC}
        ret
8:      movq $-1, %rax
        jmp 7b
        {_fixup("2b", "3b", "4b")}
        {_fixup("5b", "6b", "8b")}
""")
def copy_string(destination: u64, source: u64, maximum: usize) -> isize:
    """Copy a string from user memory. Its length, -1 for a fault, `maximum` if it does not end within that."""
    for index in range(maximum):
        byte = memory.read(source + index, 1)
        memory.write(destination + index, byte)
        if byte == b"\0":
            return isize(index)
    return isize(maximum)


@faults_unless_atomic
@export("kaa_user_compare_exchange")
@naked(f"""
        movl %esi, %eax
        {STAC}
1:      lock cmpxchgl %edx, (%rdi)
2:      {CLAC}
        ret
3:      movq $-1, %rax
        jmp 2b
        {_fixup("1b", "2b", "3b")}
""")
def compare_exchange(address: u64, old: u32, new: u32) -> i64:
    """Put `new` into a user word that holds `old`. Gives what it held, or -1 for a fault."""
    found = int.from_bytes(memory.read(address, 4), "little")
    if found == old:
        memory.write(address, int(new).to_bytes(4, "little"))
    return i64(found)


@faults_unless_atomic
@export("kaa_user_load")
@naked(f"""
        {STAC}
1:      movl (%rdi), %eax
2:      {CLAC}
        ret
3:      movq $-1, %rax
        jmp 2b
        {_fixup("1b", "2b", "3b")}
""")
def load(address: u64) -> i64:
    """A user's 32-bit word, read at once, or -1 for a fault."""
    return i64(int.from_bytes(memory.read(address, 4), "little"))


@faults_unless_atomic
@export("kaa_user_store")
@naked(f"""
        xorl %eax, %eax
        {STAC}
1:      movl %esi, (%rdi)
2:      {CLAC}
        ret
3:      movq $-1, %rax
        jmp 2b
        {_fixup("1b", "2b", "3b")}
""")
def store(address: u64, value: u32) -> i64:
    """Write a user's 32-bit word at once. 0, or -1 for a fault."""
    memory.write(address, int(value).to_bytes(4, "little"))
    return i64(0)
