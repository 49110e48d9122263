# SPDX-License-Identifier: Apache-2.0
"""memcpy and its kin, under the names that C compilers call. By words with the string instructions, the rest by bytes.

A `rep movsq` is one instruction per word for an instruction counter, and microcode that moves whole cache lines
elsewhere. """

from __future__ import annotations

from kaa.lang import export, i32, naked, u64
from kaa.lang.unsafe import copy_bytes, memory, move


@export("memcpy")
@naked("""
        movq %rdi, %rax
        movq %rdx, %rcx
        shrq $3, %rcx
        rep movsq
        movl %edx, %ecx
        andl $7, %ecx
        rep movsb
        ret
""")
def memcpy(destination: u64, source: u64, size: u64) -> u64:
    """Copy between ranges that do not overlap."""
    copy_bytes(destination, source, size)
    return destination


@export("memmove")
@naked("""
        movq %rdi, %rax
        movq %rdi, %rcx
        subq %rsi, %rcx
        cmpq %rdx, %rcx
        jb 1f
        movq %rdx, %rcx
        shrq $3, %rcx
        rep movsq
        movl %edx, %ecx
        andl $7, %ecx
        rep movsb
        ret
1:      leaq -1(%rsi,%rdx), %rsi
        leaq -1(%rdi,%rdx), %rdi
        movl %edx, %ecx
        andl $7, %ecx
        std
        rep movsb
        subq $7, %rsi
        subq $7, %rdi
        movq %rdx, %rcx
        shrq $3, %rcx
        rep movsq
        cld
        ret
""")
def memmove(destination: u64, source: u64, size: u64) -> u64:
    """Copy between ranges that may overlap: backwards if the destination starts within the source."""
    move(destination, source, size)
    return destination


@export("memset")
@naked("""
        movq %rdi, %r8
        movzbl %sil, %eax
        movabsq $0x0101010101010101, %rcx
        imulq %rcx, %rax
        movq %rdx, %rcx
        shrq $3, %rcx
        rep stosq
        movl %edx, %ecx
        andl $7, %ecx
        rep stosb
        movq %r8, %rax
        ret
""")
def memset(destination: u64, value: i32, size: u64) -> u64:
    """Fill with a byte."""
    memory.write(destination, bytes([value & 0xFF]) * size)
    return destination


@export("memcmp")
@naked("""
1:      cmpq $8, %rdx
        jb 2f
        movq (%rdi), %rax
        movq (%rsi), %rcx
        cmpq %rcx, %rax
        jne 6f
        addq $8, %rdi
        addq $8, %rsi
        subq $8, %rdx
        jmp 1b
2:      testl $4, %edx
        jz 3f
        movl (%rdi), %eax
        movl (%rsi), %ecx
        cmpl %ecx, %eax
        jne 7f
        addq $4, %rdi
        addq $4, %rsi
3:      testl $2, %edx
        jz 4f
        movzwl (%rdi), %eax
        movzwl (%rsi), %ecx
        cmpl %ecx, %eax
        jne 7f
        addq $2, %rdi
        addq $2, %rsi
4:      testl $1, %edx
        jz 5f
        movzbl (%rdi), %eax
        movzbl (%rsi), %ecx
        subl %ecx, %eax
        ret
5:      xorl %eax, %eax
        ret
6:      bswapq %rax
        bswapq %rcx
        cmpq %rcx, %rax
        jmp 8f
7:      bswapl %eax
        bswapl %ecx
        cmpl %ecx, %eax
8:      sbbl %eax, %eax
        orl $1, %eax
        ret
""")
def memcmp(a: u64, b: u64, size: u64) -> i32:
    """Compare bytes: negative, zero or positive."""
    first, second = memory.read(a, size), memory.read(b, size)
    return i32((first > second) - (first < second))
