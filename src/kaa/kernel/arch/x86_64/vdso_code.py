# SPDX-License-Identifier: Apache-2.0
"""The code of the vDSO: what a program may ask without entering the kernel. A listing: machine code beside its
assembly.

It lies at CODE_OFFSET of the vDSO's page, and the data page lies directly before that page: sequence count (u32, odd
while it is being written) at 0, base of the TSC at 8, multiplier at 16, realtime's offset in ns at 24.
tests/kernel/arch/test_vdso.py assembles the listing again and compares. Clocks served: REALTIME, MONOTONIC,
MONOTONIC_RAW, the coarse ones, BOOTTIME and TAI (bits of 0x8f3); of these REALTIME, its coarse kin and TAI get the
offset (bits of 0x821). The processor's number is the limit of the segment 0x53 (descriptors.py).
"""

from __future__ import annotations

CODE_OFFSET = 0x800

ASSEMBLY = """
clock_gettime:
        cmpl $11, %edi
        ja 3f
        movl $0x8f3, %eax
        btl %edi, %eax
        jnc 3f
        leaq data(%rip), %r8
1:      movl (%r8), %r9d
        testb $1, %r9b
        jnz 1b
        lfence
        rdtsc
        shlq $32, %rdx
        orq %rdx, %rax
        subq 8(%r8), %rax
        mulq 16(%r8)
        shrdq $32, %rdx, %rax
        movl $0x821, %ecx
        btl %edi, %ecx
        jnc 2f
        addq 24(%r8), %rax
2:      cmpl (%r8), %r9d
        jne 1b
        xorl %edx, %edx
        movl $1000000000, %ecx
        divq %rcx
        movq %rax, (%rsi)
        movq %rdx, 8(%rsi)
        xorl %eax, %eax
        ret
3:      movl $228, %eax
        syscall
        ret
        .balign 16
gettimeofday:
        pushq %rbx
        subq $16, %rsp
        movq %rdi, %rbx
        testq %rsi, %rsi
        jz 1f
        movq $0, (%rsi)
1:      testq %rbx, %rbx
        jz 2f
        xorl %edi, %edi
        movq %rsp, %rsi
        call clock_gettime
        movq (%rsp), %rax
        movq %rax, (%rbx)
        movq 8(%rsp), %rax
        xorl %edx, %edx
        movl $1000, %ecx
        divq %rcx
        movq %rax, 8(%rbx)
2:      xorl %eax, %eax
        addq $16, %rsp
        popq %rbx
        ret
        .balign 16
time:
        pushq %rbx
        subq $16, %rsp
        movq %rdi, %rbx
        xorl %edi, %edi
        movq %rsp, %rsi
        call clock_gettime
        movq (%rsp), %rax
        testq %rbx, %rbx
        jz 1f
        movq %rax, (%rbx)
1:      addq $16, %rsp
        popq %rbx
        ret
        .balign 16
clock_getres:
        cmpl $11, %edi
        ja 2f
        movl $0x8f3, %eax
        btl %edi, %eax
        jnc 2f
        testq %rsi, %rsi
        jz 1f
        movq $0, (%rsi)
        movq $1, 8(%rsi)
1:      xorl %eax, %eax
        ret
2:      movl $229, %eax
        syscall
        ret
        .balign 16
getcpu:
        testq %rdi, %rdi
        jz 1f
        movl $0x53, %eax
        lsl %eax, %eax
        movl %eax, (%rdi)
1:      testq %rsi, %rsi
        jz 2f
        movl $0, (%rsi)
2:      xorl %eax, %eax
        ret
"""

FUNCTIONS = {
    "clock_gettime": 0x0,
    "gettimeofday": 0x70,
    "time": 0xc0,
    "clock_getres": 0xf0,
    "getcpu": 0x120,
}
"""Where each begins, from CODE_OFFSET."""

CODE = bytes.fromhex(
    "83ff0b775ab8f30800000fa3f873504c8d05eae7ffff458b0841f6c10175f70faee80f3148c1e2204809d0492b400849"
    "f76010480facd020b9210800000fa3f9730449034018453b0875cb31d2b900ca9a3b48f7f14889064889560831c0c3b8"
    "e40000000f05c3660f1f840000000000534883ec104889fb4885f6740748c706000000004885db742431ff4889e6e86d"
    "ffffff488b0424488903488b44240831d2b9e803000048f7f14889430831c04883c4105bc366662e0f1f840000000000"
    "534883ec104889fb31ff4889e6e82effffff488b04244885db74034889034883c4105bc366662e0f1f84000000000090"
    "83ff0b7721b8f30800000fa3f873174885f6740f48c7060000000048c746080100000031c0c3b8e50000000f05c36690"
    "4885ff740ab8530000000f03c089074885f67406c7060000000031c0c3"
)
