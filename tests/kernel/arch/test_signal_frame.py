# SPDX-License-Identifier: Apache-2.0
"""Signal frames, over simulated memory: what push() puts down, pop() takes up; lies in a frame do no harm."""

from __future__ import annotations

import errno
import types
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.kernel.arch.x86_64 import fpu, percpu, regs, signal_frame
from kaa.kernel.arch.x86_64.context import Context
from kaa.lang import Slice, as_bytes, sizeof, u8, u64
from kaa.lang.unsafe import Ptr, allocate

WORD = st.integers(0, (1 << 64) - 1)
SPECIAL = ("cs", "ss", "orig_rax", "rflags", "rsp", "rip")
NAMES = [name for name in regs.Registers.__annotations__ if name not in SPECIAL]


def _patched() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        context = Context()
        context.fpu_state = (allocate(u64(4096)) + 63) & ~u64(63)
        patch.setattr(percpu, "current", lambda: types.SimpleNamespace(context=context))
        yield


def _delivery(stack: u64) -> signal_frame.Delivery:
    out = signal_frame.Delivery()
    out.signo, out.handler, out.restorer = 10, 0x40_0000, 0x40_1000
    out.flags, out.mask, out.alt_flags = signal_frame.SA_RESTORER, 0x1234, signal_frame.SS_DISABLE
    return out


def _info() -> Slice[u8]:
    return Ptr[u8](allocate(u64(128))).slice(128)


@settings(max_examples=40, deadline=None)
@given(st.lists(WORD, min_size=len(NAMES), max_size=len(NAMES)), WORD, st.integers(0, 4096))
def test_pop_gives_back_what_push_saved(values: list[int], flags: int, skew: int) -> None:
    for _ in _patched():
        stack = allocate(u64(32768)) + 28000 - skew
        before, now = regs.Registers(), regs.Registers()
        for registers in (before, now):
            regs.start_user(registers, u64(0x1234), stack)
            for name, value in zip(NAMES, values, strict=True):
                setattr(registers, name, value)
            registers.rflags = flags & regs.USER_FLAGS | 0x202
        signal_frame.push(now, _delivery(stack), _info())
        assert now.rip == 0x40_0000 and now.rdi == 10 and now.rsp % 16 == 8
        assert now.rsp + sizeof(signal_frame.Frame) == now.rsi and now.rdx == now.rsp + 8
        assert now.rsp < stack - signal_frame.RED_ZONE
        assert not now.rflags & (regs.DIRECTION_FLAG | regs.TRAP_FLAG)
        now.rsp += 8
        found = signal_frame.Delivery()
        signal_frame.pop(now, found)
        assert found.mask == 0x1234
        before.orig_rax = regs.NO_SYSTEM_CALL
        assert bytes(as_bytes(now)) == bytes(as_bytes(before))


def test_a_frame_cannot_leave_user_mode_or_switch_interrupts_off() -> None:
    for _ in _patched():
        stack = allocate(u64(32768)) + 28000
        now = regs.Registers()
        regs.start_user(now, u64(0x1234), stack)
        signal_frame.push(now, _delivery(stack), _info())
        context = Ptr[signal_frame.Frame](now.rsp).place().context
        context.cs, context.ss, context.rflags = 0x10, 0x18, 0x3000
        now.rsp += 8
        signal_frame.pop(now, signal_frame.Delivery())
        assert now.user_mode() and now.cs == regs.USER_CODE and now.interrupts_on()
        assert now.rflags & 0x3000 == 0


def test_without_a_restorer_or_room_there_is_no_frame() -> None:
    for _ in _patched():
        stack = allocate(u64(32768)) + 28000
        now = regs.Registers()
        regs.start_user(now, u64(0x1234), u64(100))
        with pytest.raises(OSError):
            signal_frame.push(now, _delivery(stack), _info())
        regs.start_user(now, u64(0x1234), stack)
        delivery = _delivery(stack)
        delivery.flags = 0
        with pytest.raises(OSError):
            signal_frame.push(now, delivery, _info())
        assert now.rip == 0x1234


def test_reserved_bits_of_the_vector_unit_are_masked() -> None:
    area = allocate(u64(1024))
    Ptr[u64](area + 24)[0] = 0xFFFF_FFFF_FFFF_FFFF
    fpu.sanitise(area)
    assert Ptr[u64](area + 24)[0] & 0xFFFF_FFFF == fpu.layout.mxcsr_mask


@pytest.mark.parametrize("pointer", [0, 7, (1 << 64) - 1])
def test_a_frame_where_no_frame_can_be_is_a_fault_and_not_an_overflow(pointer: int) -> None:
    for _ in _patched():
        now = regs.Registers()
        regs.start_user(now, u64(0x1234), u64(pointer))
        with pytest.raises(OSError) as caught:
            signal_frame.pop(now, signal_frame.Delivery())
        assert caught.value.errno == errno.EFAULT


@pytest.mark.parametrize(("base", "size"), [((1 << 64) - 4096, 8192), (0x7FFF_FFFF_0000, 1 << 20)])
def test_an_alternate_stack_beyond_user_space_is_a_fault_and_not_an_overflow(base: int, size: int) -> None:
    for _ in _patched():
        now = regs.Registers()
        regs.start_user(now, u64(0x1234), allocate(u64(32768)) + 28000)
        delivery = _delivery(u64(0))
        delivery.flags |= signal_frame.SA_ONSTACK
        delivery.alt_flags, delivery.alt_sp, delivery.alt_size = 0, u64(base), u64(size)
        with pytest.raises(OSError) as caught:
            signal_frame.push(now, delivery, _info())
        assert caught.value.errno == errno.EFAULT
