# SPDX-License-Identifier: Apache-2.0
"""Where a processor starts that another one woke: in real mode, on a page below 1 MiB (Intel SDM 3, 9.4.4).

Four pages there are used while processors start: the code, copied out of the image, and page tables that map the first
2 MiB where they are beside the kernel's half. The code goes from real mode over protected mode to long mode (9.8.5),
finds its position from its code segment, takes stack and area from two words at its end, and jumps to the kernel's
half, where the kernel's own tables are loaded. One processor at a time comes through.

The pages are taken when the memory map is read, since later nothing says what lies below 1 MiB, and given back when all
processors run.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import paging
from kaa.kernel.mm import boot_memory
from kaa.lang import export, naked, u64
from kaa.lang.unsafe import Ptr, copy_bytes, symbol, zero

PAGES = 4
LOWEST, HIGHEST = 0x1000, 0x9_F000
SPLIT = 0x1000
"""Tables follow the code's page: root, pointers, directory."""
ROOT_HALF = 2048
TABLE = 0x3
IDENTITY = 0x83
"""Present, writable, large: the first 2 MiB."""
P = "-0xffffffff80000000"


@export("kaa_processor_start")
@naked(f"""
        movq $(kaa_early_root{P}), %rax
        movq %rax, %cr3
        xorl %eax, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %fs
        movl %eax, %gs
        xorl %ebp, %ebp
        call kaa_processor_main
        ud2

        .pushsection .rodata
        .balign 16
        .globl kaa_trampoline, kaa_trampoline_words, kaa_trampoline_end
kaa_trampoline:
        .code16
        cli
        cld
        xorl %ebx, %ebx
        movw %cs, %bx
        movw %bx, %ds
        shll $4, %ebx
        leal 0x40(%ebx), %eax
        movl %eax, 0xa0
        leal 0x80(%ebx), %eax
        movl %eax, 0xaa
        lgdtl 0xa8
        movl %cr0, %eax
        orl $1, %eax
        movl %eax, %cr0
        ljmpl *0xa0
        .org kaa_trampoline + 0x40
        .code32
        movl $0x18, %eax
        movl %eax, %ds
        movl %eax, %ss
        movl %cr4, %eax
        orl $0x20, %eax
        movl %eax, %cr4
        leal {SPLIT:#x}(%ebx), %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx
        rdmsr
        orl $0x901, %eax
        wrmsr
        movl %cr0, %eax
        andl $0x9fffffff, %eax
        orl $0x80010001, %eax
        jmp 1f
        .org kaa_trampoline + 0x80
        .quad 0
        .quad 0x00cf9b000000ffff
        .quad 0x00af9b000000ffff
        .quad 0x00cf93000000ffff
        .org kaa_trampoline + 0xa0
        .long 0
        .word 0x08
        .word 0
        .org kaa_trampoline + 0xa8
        .word 31
        .long 0
        .org kaa_trampoline + 0xb0
        .long 0
        .word 0x10
        .org kaa_trampoline + 0xc0
1:      movl %eax, %cr0
        leal 0xe0(%ebx), %eax
        movl %eax, 0xb0(%ebx)
        ljmpl *0xb0(%ebx)
        .org kaa_trampoline + 0xe0
        .code64
        movq 0x100(%rbx), %rsp
        movq 0x108(%rbx), %rdi
        movq $kaa_processor_start, %rax
        jmp *%rax
        .org kaa_trampoline + 0x100
kaa_trampoline_words:
        .quad 0, 0
kaa_trampoline_end:
        .popsection
""")
def processor_start() -> None:
    """Where the trampoline ends: rsp is the processor's stack, rdi its area. Ends in kaa_processor_main(area). EFER has
    system calls, long mode and no-execute, as on the boot processor; caches are on (CR0.CD and NW were set by INIT)."""


class Place:
    """Physical address of the pages; 0: there are none."""

    address: u64

    def __init__(self) -> None:
        self.address = u64(0)


place = Place()


def reserve() -> None:
    """Take the pages while the memory map is read."""
    place.address = boot_memory.take_below(PAGES * paging.PAGE_SIZE, LOWEST, HIGHEST)


def give_back() -> None:
    """No processor will start any more."""
    if place.address != 0:
        boot_memory.give_back(place.address, place.address + PAGES * paging.PAGE_SIZE)
        place.address = u64(0)


def build() -> None:
    """Put code and tables into the pages."""
    at = paging.direct_map(place.address)
    zero(at, PAGES * paging.PAGE_SIZE)
    copy_bytes(at, symbol("kaa_trampoline"), symbol("kaa_trampoline_end") - symbol("kaa_trampoline"))
    root = place.address + SPLIT
    pointers = root + paging.PAGE_SIZE
    directory = pointers + paging.PAGE_SIZE
    kernel_half = paging.direct_map(paging.kernel.root) + ROOT_HALF
    copy_bytes(paging.direct_map(root) + ROOT_HALF, kernel_half, ROOT_HALF)
    Ptr[u64](paging.direct_map(root))[0] = pointers | TABLE
    Ptr[u64](paging.direct_map(pointers))[0] = directory | TABLE
    Ptr[u64](paging.direct_map(directory))[0] = IDENTITY


def aim(stack: u64, area: u64) -> None:
    """What the next processor that comes through gets."""
    offset = symbol("kaa_trampoline_words") - symbol("kaa_trampoline")
    words = Ptr[u64](paging.direct_map(place.address) + offset)
    words[0] = stack
    words[1] = area
