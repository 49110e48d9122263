# SPDX-License-Identifier: Apache-2.0
"""The user's floating-point and vector state. The kernel is compiled without such registers.

The state of a task lies at the very top of its kernel stack, above the trap frame: `area_size` bytes, 64-byte aligned
(Intel SDM 1 chapter 13). Where the processor has XSAVE, components x87, SSE, AVX and AVX-512 are enabled; otherwise
FXSAVE's 512 bytes. In a signal frame the same bytes are followed by Linux's FP_XSTATE_MAGIC2 and described in the
reserved words at 464.

Most programs never touch the x87 registers, whose loading is most of the work (and slow under emulation). So when a
task is left, its stored state is looked at: *clean* are x87 registers as every program finds them, contents included.
Between two tasks that are both clean the registers stay as they are. Contents count even of registers marked empty, and
so does where the last instruction was: else one task could read what another left behind.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import cpu, instructions
from kaa.lang import inline, u32, u64, usize
from kaa.lang.unsafe import Ptr, asm, copy_bytes, zero

LEGACY_SIZE = 512
SOFTWARE_BYTES = 464
FRAME_MAGIC = 0x46505853
HEADER_SIZE = 64
WANTED_COMPONENTS = 0xE7
"""x87, SSE, AVX, and AVX-512's three."""
X87 = 1
"""The component."""
X87_CONTROL = 0x037F
"""Also what the first eight bytes of a clean state are: control, status, tags (all empty), opcode."""
SSE_CONTROL = 0x1F80


@asm("fxsaveq (%0)", out=None, ins=["r"], clobber="memory")
def _fxsave(address: u64) -> None:
    pass


@asm("fxrstorq (%0)", out=None, ins=["r"], clobber="memory")
def _fxrstor(address: u64) -> None:
    pass


@asm("xsaveq (%0)", out=None, ins=["r", "a", "d"], clobber="memory")
def _xsave(address: u64, low: u32, high: u32) -> None:
    pass


@asm("xrstorq (%0)", out=None, ins=["r", "a", "d"], clobber="memory")
def _xrstor(address: u64, low: u32, high: u32) -> None:
    pass


@asm(
    "movaps 32(%1), %%xmm0; orps 48(%1), %%xmm0; orps 64(%1), %%xmm0; orps 80(%1), %%xmm0; orps 96(%1), %%xmm0; "
    "orps 112(%1), %%xmm0; orps 128(%1), %%xmm0; orps 144(%1), %%xmm0; movups 8(%1), %%xmm1; orps %%xmm1, %%xmm0; "
    "pxor %%xmm1, %%xmm1; pcmpeqb %%xmm1, %%xmm0; pmovmskb %%xmm0, %k0",
    out="=r",
    ins=["r"],
    clobber="memory,cc",
)
def _zeroes(address: u64) -> u64:
    """0xFFFF if a stored state's x87 registers, and the addresses of the last instruction and its operand, are 0. The
    low halves of the first two vector registers are changed."""
    words = Ptr[u64](address)
    found = words[1] | words[2]
    for index in range(4, 20):
        found |= words[index]
    return u64(0xFFFF if found == 0 else 0)


_VECTORS = "; ".join(f"movaps {160 + 16 * number}(%0), %%xmm{number}" for number in range(16))


@asm("ldmxcsr 24(%0); " + _VECTORS, out=None, ins=["r"], clobber="memory")
def _load_vectors(address: u64) -> None:
    """FXRSTOR without the x87 registers."""


@asm("movaps 160(%0), %%xmm0; movaps 176(%0), %%xmm1", out=None, ins=["r"], clobber="memory")
def _load_two_vectors(address: u64) -> None:
    """The low halves of what _zeroes changes."""


class FpuFormat:
    """How big the state is, which components it has, which MXCSR bits exist."""

    area_size: usize
    components: u32
    mxcsr_mask: u32
    has_xsave: bool

    def __init__(self) -> None:
        self.area_size = usize(LEGACY_SIZE)
        self.components = u32(3)
        self.mxcsr_mask = u32(0xFFBF)
        self.has_xsave = False


layout = FpuFormat()


def initialise() -> None:
    """At boot: switch the first processor's unit on and choose the components of the state, which all processors
    have."""
    if cpu.features.xsave:
        layout.components = instructions.cpuid(0xD, 0).eax & WANTED_COMPONENTS
        layout.has_xsave = True
    switch_on()
    if layout.has_xsave:  # the leaf tells the size of what is switched on
        layout.area_size = usize(instructions.cpuid(0xD, 0).ebx)


def switch_on() -> None:
    """Switch the unit on (CR0, CR4, XCR0). Once for each processor."""
    instructions.write_cr0(instructions.read_cr0() & 0xFFFF_FFFF_FFFF_FFF3 | 0x22)
    instructions.write_cr4(instructions.read_cr4() | 0x600)
    if layout.has_xsave:
        instructions.write_cr4(instructions.read_cr4() | 1 << 18)
        instructions.write_xcr0(layout.components, 0)


def save(address: u64) -> None:
    """Store the processor's state at `address`."""
    if layout.has_xsave:
        _xsave(address, layout.components, 0)
    else:
        _fxsave(address)


def load(address: u64) -> None:
    """Load the processor's state from `address`: one that the kernel stored, or that check() passed."""
    if layout.has_xsave:
        _xrstor(address, layout.components, 0)
    else:
        _fxrstor(address)


@inline
def leave(address: u64) -> u32:
    """As save, for a task that goes on later: says whether its x87 registers are clean (1) or not. The processor's
    vector registers are nobody's from here on."""
    save(address)
    return _is_clean(address)


def look(address: u64) -> u32:
    """As leave, for a task that goes on at once: its registers stay as they are."""
    save(address)
    clean = _is_clean(address)
    _load_two_vectors(address)
    return clean


@inline
def _is_clean(address: u64) -> u32:
    """Whether a stored state's x87 registers are clean. Two vector registers are changed."""
    header = Ptr[u64](address)[0]
    return u32(1 if (_zeroes(address) ^ 0xFFFF) | (header ^ X87_CONTROL) == 0 else 0)


@inline
def load_beside(address: u64, clean: u32) -> None:
    """As load. `clean`: so are the x87 registers of this processor, and those at `address`."""
    if clean == 0:
        load(address)
    elif layout.has_xsave:
        _xrstor(address, layout.components & ~u32(X87), 0)
    else:
        _load_vectors(address)


def clear(address: u64) -> None:
    """The state a program starts with (System V ABI 3.4.1)."""
    zero(address, layout.area_size)
    Ptr[u32](address)[0] = X87_CONTROL
    Ptr[u32](address + 24)[0] = SSE_CONTROL
    if layout.has_xsave:
        Ptr[u64](address + LEGACY_SIZE)[0] = 3


def describe(address: u64) -> None:
    """Say in the bytes that the format leaves to software what a state is that goes into a signal frame: magic, size in
    the frame, components, size (System V ABI AMD64; <asm/sigcontext.h>, struct _fpx_sw_bytes)."""
    software = Ptr[u32](address + SOFTWARE_BYTES)
    software[0] = FRAME_MAGIC
    software[1] = layout.area_size + 4
    software[2] = layout.components
    software[3] = 0
    software[4] = layout.area_size


def duplicate(destination: u64, source: u64) -> None:
    """Copy a stored state."""
    copy_bytes(destination, source, layout.area_size)


def sanitise(address: u64) -> None:
    """Make bytes that came from a user loadable: reserved bits of MXCSR and of the XSAVE header would fault (SDM 1,
    13.8.1)."""
    control = Ptr[u32](address + 24)
    control[0] = control[0] & layout.mxcsr_mask
    if layout.has_xsave:
        header = Ptr[u64](address + LEGACY_SIZE)
        header[0] = header[0] & layout.components
        for index in range(1, 8):
            header[index] = 0
