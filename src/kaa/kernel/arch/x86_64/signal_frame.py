# SPDX-License-Identifier: Apache-2.0
"""The signal frame of the x86-64 ABI on the user's stack: push() before a handler, pop() at rt_sigreturn(2).

From high to low addresses: FPU state (64-byte aligned; with XSAVE, FP_XSTATE_MAGIC1 and sizes in the bytes reserved for
software, FP_XSTATE_MAGIC2 after it), then siginfo, ucontext, return address (SA_RESTORER's function; required on this
machine). At the handler's first instruction rsp is 8 below a multiple of 16, as after a call.
Nothing in the frame is trusted at pop(): selectors are the user's whatever it says, flags and FPU state are masked.
Sources: System V ABI AMD64; <ucontext.h>, sigaction(2), sigreturn(2), Intel SDM 1 chapter 13.
"""

from __future__ import annotations

import errno

from kaa.kernel.arch.x86_64 import fpu, irq, percpu, user
from kaa.kernel.arch.x86_64.regs import (
    DIRECTION_FLAG,
    NO_SYSTEM_CALL,
    RESUME_FLAG,
    TRAP_FLAG,
    USER_CODE,
    USER_DATA,
    USER_FLAGS,
    Registers,
)  # fmt: skip
from kaa.kernel.signal import must_die
from kaa.lang import ZERO, Array, Slice, as_bytes, sizeof, struct, trusted, u8, u16, u32, u64

SA_ONSTACK = 0x0800_0000
SA_RESTORER = 0x0400_0000
SS_ONSTACK = 1
SS_DISABLE = 2
SS_AUTODISARM = 1 << 31
RED_ZONE = 128
MAGIC2 = 0x46505845
UC_FP_XSTATE = 1
UC_SIGCONTEXT_SS = 2
UC_STRICT_RESTORE_SS = 4
INFO_SIZE = 128


@struct
class Delivery:
    """What to deliver, and the signal state that travels in the frame."""

    signo: u32 = 0
    handler: u64 = 0
    restorer: u64 = 0
    flags: u64 = 0
    mask: u64 = 0
    alt_sp: u64 = 0
    alt_size: u64 = 0
    alt_flags: u32 = 0


@struct
class MachineContext:
    """struct sigcontext."""

    r8: u64 = ZERO
    r9: u64 = ZERO
    r10: u64 = ZERO
    r11: u64 = ZERO
    r12: u64 = ZERO
    r13: u64 = ZERO
    r14: u64 = ZERO
    r15: u64 = ZERO
    rdi: u64 = ZERO
    rsi: u64 = ZERO
    rbp: u64 = ZERO
    rbx: u64 = ZERO
    rdx: u64 = ZERO
    rax: u64 = ZERO
    rcx: u64 = ZERO
    rsp: u64 = ZERO
    rip: u64 = ZERO
    rflags: u64 = ZERO
    cs: u16 = ZERO
    gs: u16 = ZERO
    fs: u16 = ZERO
    ss: u16 = ZERO
    error: u64 = ZERO
    trap: u64 = ZERO
    old_mask: u64 = ZERO
    cr2: u64 = ZERO
    fpu_state: u64 = ZERO
    reserved: Array[u64, 8] = ZERO


@struct
class Frame:
    """struct rt_sigframe without its last part, the 128 bytes of siginfo: return address, struct ucontext."""

    return_address: u64 = ZERO
    uc_flags: u64 = ZERO
    uc_link: u64 = ZERO
    stack_sp: u64 = ZERO
    stack_flags: u32 = ZERO
    stack_pad: u32 = ZERO
    stack_size: u64 = ZERO
    context: MachineContext = ZERO
    mask: u64 = ZERO


def _on_alternate(delivery: Delivery, sp: u64) -> bool:
    """Is `sp` within the alternate stack?"""
    if delivery.alt_flags & SS_AUTODISARM != 0:
        return False
    return delivery.alt_size != 0 and sp > delivery.alt_sp and sp - delivery.alt_sp <= delivery.alt_size


def _top(regs: Registers, delivery: Delivery) -> u64:
    """Where the frame's upper end may lie; 0 for an alternate stack that is not in user space."""
    wanted = delivery.flags & SA_ONSTACK != 0 and delivery.alt_size != 0 and delivery.alt_flags & SS_DISABLE == 0
    if wanted and not _on_alternate(delivery, regs.rsp):
        return delivery.alt_sp + delivery.alt_size if user.valid(delivery.alt_sp, delivery.alt_size) else u64(0)
    return regs.rsp - min(regs.rsp, RED_ZONE)


def _state_size() -> u64:
    """Bytes of the FPU state in a frame."""
    return fpu.layout.area_size + (4 if fpu.layout.has_xsave else 0)


def push(regs: Registers, delivery: Delivery, info: Slice[u8]) -> None:
    """Put the frame on the user's stack and point `regs` at the handler. Raises OSError(EFAULT): nothing has changed
    then."""
    from kaa.kernel.mm.user import UserBuf

    top = _top(regs, delivery)
    needed = _state_size() + sizeof(Frame) + INFO_SIZE + 128
    if delivery.flags & SA_RESTORER == 0 or top < needed or top > user.USER_END:
        raise OSError(errno.EFAULT)
    if _on_alternate(delivery, regs.rsp) and top - needed < delivery.alt_sp:
        raise OSError(errno.EFAULT)
    state = (top - _state_size()) & 0xFFFF_FFFF_FFFF_FFC0
    place = ((state - sizeof(Frame) - INFO_SIZE) & 0xFFFF_FFFF_FFFF_FFF0) - 8
    _write_state(state)
    frame = Frame()
    _fill(frame, regs, delivery, state)
    UserBuf(place, sizeof(Frame)).copy_out(as_bytes(frame))
    UserBuf(place + sizeof(Frame), INFO_SIZE).copy_out(info[0:INFO_SIZE])
    _enter(regs, delivery, place)


def _fill(frame: Frame, regs: Registers, delivery: Delivery, state: u64) -> None:
    frame.return_address = delivery.restorer
    frame.uc_flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (UC_FP_XSTATE if fpu.layout.has_xsave else 0)
    frame.stack_sp = delivery.alt_sp
    frame.stack_size = delivery.alt_size
    frame.stack_flags = delivery.alt_flags
    if _on_alternate(delivery, regs.rsp):
        frame.stack_flags = delivery.alt_flags | SS_ONSTACK
    frame.mask = delivery.mask
    _save_registers(frame.context, regs)
    frame.context.fpu_state = state
    frame.context.old_mask = delivery.mask


def _save_registers(context: MachineContext, regs: Registers) -> None:
    context.r8 = regs.r8
    context.r9 = regs.r9
    context.r10 = regs.r10
    context.r11 = regs.r11
    context.r12 = regs.r12
    context.r13 = regs.r13
    context.r14 = regs.r14
    context.r15 = regs.r15
    context.rdi = regs.rdi
    context.rsi = regs.rsi
    context.rbp = regs.rbp
    context.rbx = regs.rbx
    context.rdx = regs.rdx
    context.rax = regs.rax
    context.rcx = regs.rcx
    context.rsp = regs.rsp
    context.rip = regs.rip
    context.rflags = regs.rflags
    context.cs = USER_CODE
    context.ss = USER_DATA


def _enter(regs: Registers, delivery: Delivery, frame: u64) -> None:
    """The handler's arguments: signal number, siginfo, ucontext. Direction, trap and resume flags are clear."""
    regs.rdi = delivery.signo
    regs.rsi = frame + sizeof(Frame)
    regs.rdx = frame + 8
    regs.rax = 0
    regs.rsp = frame
    regs.rip = delivery.handler
    regs.rflags = regs.rflags & (0xFFFF_FFFF_FFFF_FFFF - (DIRECTION_FLAG | TRAP_FLAG | RESUME_FLAG))
    regs.orig_rax = NO_SYSTEM_CALL


def _write_state(address: u64) -> None:
    """The running task's FPU state to the user's stack; it is saved to its own area first. Raises OSError(EFAULT)."""
    own = percpu.current().context.fpu_state
    saved = irq.save()
    fpu.save(own)
    irq.restore(saved)
    if fpu.layout.has_xsave:
        fpu.describe(own)
    if user.copy_to_user(address, own, fpu.layout.area_size) != 0:
        raise OSError(errno.EFAULT)
    if fpu.layout.has_xsave and user.store_user(address + fpu.layout.area_size, u32(MAGIC2)) < 0:
        raise OSError(errno.EFAULT)


def pop(regs: Registers, delivery: Delivery) -> None:
    """Take the frame at the user's stack pointer down: registers and FPU state as it says, mask and alternate stack
    into `delivery`. Raises OSError(EFAULT) for a frame that cannot be read."""
    from kaa.kernel.mm.user import UserBuf

    frame = Frame()
    if regs.rsp < 8:
        raise OSError(errno.EFAULT)
    UserBuf(regs.rsp - 8, sizeof(Frame)).copy_in(as_bytes(frame))
    _restore_registers(frame.context, regs)
    delivery.mask = frame.mask
    delivery.alt_sp = frame.stack_sp
    delivery.alt_size = frame.stack_size
    delivery.alt_flags = frame.stack_flags
    _read_state(frame.context.fpu_state)


def _restore_registers(context: MachineContext, regs: Registers) -> None:
    regs.r8 = context.r8
    regs.r9 = context.r9
    regs.r10 = context.r10
    regs.r11 = context.r11
    regs.r12 = context.r12
    regs.r13 = context.r13
    regs.r14 = context.r14
    regs.r15 = context.r15
    regs.rdi = context.rdi
    regs.rsi = context.rsi
    regs.rbp = context.rbp
    regs.rbx = context.rbx
    regs.rdx = context.rdx
    regs.rax = context.rax
    regs.rcx = context.rcx
    regs.rsp = context.rsp
    regs.rip = context.rip
    regs.rflags = regs.rflags & (0xFFFF_FFFF_FFFF_FFFF - USER_FLAGS) | context.rflags & USER_FLAGS
    regs.orig_rax = NO_SYSTEM_CALL


def _read_state(address: u64) -> None:
    """FPU state from the user's stack; a null address means a fresh one. Raises OSError(EFAULT)."""
    own = percpu.current().context.fpu_state
    saved: u64 = u64(0)
    if address == 0:
        saved = irq.save()
        fpu.clear(own)
    else:
        while not _copy_state(own, address):
            if must_die(percpu.current()):
                raise OSError(errno.EFAULT)
        saved = irq.save()
    fpu.load(own)
    irq.restore(saved)


@trusted("context", "a copy with preemption off never faults pages in: it stops short, and the caller begins again")
def _copy_state(own: u64, address: u64) -> bool:
    """Read it into the task's area; False when a page was taken away meanwhile. A task that is switched out has its
    area overwritten by the state in the registers: so preemption stays off, the pages being read beforehand. Raises
    OSError(EFAULT)."""
    size = fpu.layout.area_size
    if not user.valid(address, size) or user.load_user(address) < 0 or user.load_user(address + (size - 4)) < 0:
        raise OSError(errno.EFAULT)
    percpu.preempt_disable()
    missing = user.copy_from_user(own, address, size)
    if missing != 0:
        fpu.save(own)
    fpu.sanitise(own)
    percpu.preempt_enable()
    return missing == 0
