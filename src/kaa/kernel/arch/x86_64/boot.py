# SPDX-License-Identifier: Apache-2.0
"""From the boot loader to compiled code: PVH entry, early page tables, long mode. And the storage that must exist
before memory does.

The loader (QEMU, Firecracker, Xen's HVM direct boot ABI) finds the address of `kaa_pvh_start` in an ELF note of name
"Xen" and type 18 (XEN_ELFNOTE_PHYS32_ENTRY), and jumps there in 32-bit protected mode: flat segments, paging off,
interrupts off, ebx = physical address of `hvm_start_info`. The first GiB is mapped with 2 MiB pages three times over:
at 0, at the direct map and at the image's base. kernel_map.py builds the final, W^X tables from these.

The code is linked in the upper half but runs below until the far jump: P(x) is the physical address of a symbol.
"""

from __future__ import annotations

from kaa.lang import export, naked

P = "-0xffffffff80000000"
DIRECT_SLOT = 0x888000000000 >> 39 & 511
IMAGE_SLOT = 510

EARLY_TABLES = f"""
        movl $(kaa_early_directory{P}), %edi
        movl $0x83, %eax
        movl $512, %ecx
1:      movl %eax, (%edi)
        addl $0x200000, %eax
        addl $8, %edi
        loop 1b
        movl $(kaa_early_directory{P} + 0x3), %eax
        movl %eax, (kaa_early_pointers{P})
        movl %eax, (kaa_image_pointers{P} + {IMAGE_SLOT * 8})
        movl $(kaa_early_pointers{P} + 0x3), %eax
        movl %eax, (kaa_early_root{P})
        movl %eax, (kaa_early_root{P} + {DIRECT_SLOT * 8})
        movl $(kaa_image_pointers{P} + 0x3), (kaa_early_root{P} + {511 * 8})
"""
"""The tables lie in .bss, which the loader zeroed. 0x83: present, writable, large."""

LONG_MODE = f"""
        movl %cr4, %eax
        orl $0x20, %eax
        movl %eax, %cr4
        movl $(kaa_early_root{P}), %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx
        rdmsr
        orl $0x901, %eax
        wrmsr
        movl %cr0, %eax
        orl $0x80010001, %eax
        movl %eax, %cr0
        lgdtl (kaa_early_gdt_pointer{P})
        ljmpl $0x10, $(kaa_long_mode{P})
"""
"""PAE; EFER: system calls, long mode, no-execute; paging with write protection (Intel SDM 3, 9.8.5)."""


@export("kaa_pvh_start")
@naked(f"""
        .pushsection .note.Xen, "a", @note
        .balign 4
        .long 4, 8, 18
        .asciz "Xen"
        .quad kaa_pvh_start{P}
        .popsection
        .pushsection .rodata
        .balign 8
kaa_early_gdt_pointer:
        .word 63
        .long kaa_gdt{P}
        .popsection
        .code32
        cld
        cli
        movl %ebx, %esi
        {EARLY_TABLES}
        {LONG_MODE}
        .code64
kaa_long_mode:
        movl $0x18, %eax
        movl %eax, %ss
        xorl %eax, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %fs
        movl %eax, %gs
        movq $kaa_upper_half, %rax
        jmp *%rax
kaa_upper_half:
        movq $kaa_boot_stack_top, %rsp
        xorl %ebp, %ebp
        movl %esi, %edi
        call kaa_main
        ud2
""")
def pvh_start() -> None:
    """The kernel's first instruction. Ends in kaa_main(physical address of hvm_start_info)."""


@export("kaa_boot_storage")
@naked("""
        ret
        .pushsection .data
        .balign 16
        .globl kaa_gdt
kaa_gdt:
        .quad 0, 0
        .quad 0x00af9b000000ffff
        .quad 0x00cf93000000ffff
        .quad 0x00cffb000000ffff
        .quad 0x00cff3000000ffff
        .quad 0x00affb000000ffff
        .quad 0
        .popsection
        .pushsection .bss
        .balign 4096
        .globl kaa_early_root, kaa_early_pointers, kaa_image_pointers, kaa_early_directory, kaa_image_table, kaa_idt
kaa_early_root: .skip 4096
kaa_early_pointers: .skip 4096
kaa_image_pointers: .skip 4096
kaa_early_directory: .skip 4096
kaa_image_table: .skip 4096
kaa_idt: .skip 4096
        .globl kaa_fault_stack_top, kaa_nmi_stack_top, kaa_machine_check_stack_top, kaa_boot_stack_top
        .skip 8192
kaa_fault_stack_top:
        .skip 4096
kaa_nmi_stack_top:
        .skip 4096
kaa_machine_check_stack_top:
        .skip 16384
kaa_boot_stack_top:
        .globl kaa_boot_cpu
        .balign 4096
kaa_boot_cpu: .skip 4096
        .popsection
""")
def boot_storage() -> None:
    """Descriptor tables, early page tables, the boot processor's area (percpu.py) and its stacks. Segments as Linux's
    user ABI has them: 0x10/0x18 kernel, 0x2b user data, 0x33 user code; each processor's own table goes on (0x40 the
    task state segment, 0x53 the number: descriptors.py)."""
