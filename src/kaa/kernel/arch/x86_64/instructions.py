# SPDX-License-Identifier: Apache-2.0
"""Single instructions of the processor, one function each. The Python bodies are stand-ins for unit tests under
CPython.

Source: Intel SDM volume 2. `memory` is clobbered wherever an instruction orders or hides memory accesses.
"""

from __future__ import annotations

from kaa.lang import struct, u8, u16, u32, u64
from kaa.lang.unsafe import asm

simulated_msrs: dict[int, int] = {}
simulated_ports: dict[int, int] = {}
simulated_tsc: dict[str, int] = {"now": 0}
"""Steady: each look is a microsecond after the one before."""


@asm("inb %w1, %b0", out="=a", ins=["Nd"], clobber="memory")
def in8(port: u16) -> u8:
    """Read a byte from an I/O port."""
    return u8(simulated_ports.get(port, 0xFF))


@asm("inw %w1, %w0", out="=a", ins=["Nd"], clobber="memory")
def in16(port: u16) -> u16:
    """Read 16 bits from an I/O port."""
    return u16(simulated_ports.get(port, 0xFFFF))


@asm("inl %w1, %k0", out="=a", ins=["Nd"], clobber="memory")
def in32(port: u16) -> u32:
    """Read 32 bits from an I/O port."""
    return u32(simulated_ports.get(port, 0xFFFFFFFF))


@asm("outb %b1, %w0", out=None, ins=["Nd", "a"], clobber="memory")
def out8(port: u16, value: u8) -> None:
    """Write a byte to an I/O port."""
    simulated_ports[int(port)] = int(value)


@asm("outw %w1, %w0", out=None, ins=["Nd", "a"], clobber="memory")
def out16(port: u16, value: u16) -> None:
    """Write 16 bits to an I/O port."""
    simulated_ports[int(port)] = int(value)


@asm("outl %k1, %w0", out=None, ins=["Nd", "a"], clobber="memory")
def out32(port: u16, value: u32) -> None:
    """Write 32 bits to an I/O port."""
    simulated_ports[int(port)] = int(value)


@asm("rdmsr; shlq $32, %%rdx; orq %%rdx, %%rax", out="=a", ins=["c"], clobber="rdx,memory")
def read_msr(number: u32) -> u64:
    """Read a model-specific register."""
    return u64(simulated_msrs.get(number, 0))


@asm("wrmsr", out=None, ins=["c", "a", "d"], clobber="memory")
def write_msr_halves(number: u32, low: u32, high: u32) -> None:
    """Write a model-specific register, its halves given apart as the instruction wants them."""
    simulated_msrs[int(number)] = int(high) << 32 | int(low)


def write_msr(number: u32, value: u64) -> None:
    """Write a model-specific register."""
    write_msr_halves(number, u32(value), u32(value >> 32))


@struct
class CpuidResult:
    """What CPUID leaves in eax, ebx, ecx, edx."""

    eax: u32 = 0
    ebx: u32 = 0
    ecx: u32 = 0
    edx: u32 = 0


@asm("cpuid; shlq $32, %%rbx; orq %%rbx, %%rax", out="=a", ins=["a", "c"], clobber="rbx,rdx,memory")
def _cpuid_ab(leaf: u32, subleaf: u32) -> u64:
    """eax in the low half, ebx in the high half."""
    return u64(0)


@asm("cpuid; shlq $32, %%rdx; movl %%ecx, %%eax; orq %%rdx, %%rax", out="=a", ins=["a", "c"], clobber="rbx,rdx,memory")
def _cpuid_cd(leaf: u32, subleaf: u32) -> u64:
    """ecx in the low half, edx in the high half."""
    return u64(0)


def cpuid(leaf: u32, subleaf: u32 = u32(0)) -> CpuidResult:
    """CPUID; zeros under CPython. The instruction runs twice: two registers fit into one result."""
    low = _cpuid_ab(leaf, subleaf)
    high = _cpuid_cd(leaf, subleaf)
    return CpuidResult(u32(low), u32(low >> 32), u32(high), u32(high >> 32))


@asm("movq %%cr0, %0", out="=r", ins=[])
def read_cr0() -> u64:
    """CR0."""
    return u64(0)


@asm("movq %0, %%cr0", out=None, ins=["r"], clobber="memory")
def write_cr0(value: u64) -> None:
    """CR0: protection, write protect, FPU emulation."""


@asm("movq %%cr2, %0", out="=r", ins=[], clobber="memory")
def read_cr2() -> u64:
    """The address of the last page fault."""
    return u64(0)


@asm("movq %%cr3, %0", out="=r", ins=[], clobber="memory")
def read_cr3() -> u64:
    """Physical address of the page-table root."""
    return u64(simulated_msrs.get(-3, 0))


@asm("movq %0, %%cr3", out=None, ins=["r"], clobber="memory")
def write_cr3(root: u64) -> None:
    """Load the page-table root; flushes the TLB but for global pages."""
    simulated_msrs[-3] = int(root)


@asm("movq %%cr4, %0", out="=r", ins=[])
def read_cr4() -> u64:
    """CR4."""
    return u64(0)


@asm("movq %0, %%cr4", out=None, ins=["r"], clobber="memory")
def write_cr4(value: u64) -> None:
    """CR4: feature enables."""


@asm("invlpg (%0)", out=None, ins=["r"], clobber="memory")
def invalidate_page(address: u64) -> None:
    """Drop the TLB's entries for the page of `address`."""


@asm("xorl %%ecx, %%ecx; xsetbv", out=None, ins=["a", "d"], clobber="rcx,memory")
def write_xcr0(low: u32, high: u32) -> None:
    """Choose the state components XSAVE handles."""


@asm("lfence; rdtsc; shlq $32, %%rdx; orq %%rdx, %%rax", out="=a", ins=[], clobber="rdx,memory")
def read_tsc() -> u64:
    """The time stamp counter, not before earlier loads (Intel SDM 4.3 RDTSC)."""
    simulated_tsc["now"] += 1000
    return u64(simulated_tsc["now"])


@asm("pause", out=None, ins=[], clobber="memory")
def pause() -> None:
    """Tell the processor that this is a spin loop."""


@asm("cli; hlt", out=None, ins=[], clobber="memory")
def stop() -> None:
    """Stop this processor until a non-maskable interrupt."""
    raise SystemExit("the processor stopped")


@asm("ud2", out=None, ins=[], clobber="memory")
def undefined_instruction() -> None:
    """Raise an invalid-opcode exception."""
    raise SystemExit("undefined instruction")


@asm("movq %%rbp, %0", out="=r", ins=[], clobber="memory")
def frame_pointer() -> u64:
    """The caller's frame pointer (rbp)."""
    return u64(0)


@asm("movw %%fs, %w0", out="=r", ins=[])
def read_fs_selector() -> u16:
    """The fs selector a user program may have left."""
    return u16(0)


@asm("mulq %2; shrdq $32, %%rdx, %%rax", out="=a", ins=["a", "r"], clobber="rdx,cc")
def scale(value: u64, factor: u64) -> u64:
    """value * factor >> 32, the product in 128 bits."""
    return u64(int(value) * int(factor) >> 32)


@asm("pushq $0; pushq $0; lidt (%%rsp); int3", out=None, ins=[], clobber="memory")
def triple_fault() -> None:
    """Reset the processor: an exception with an empty interrupt table, whose handling fails twice (SDM 3, 6.15)."""
    raise SystemExit("triple fault")
