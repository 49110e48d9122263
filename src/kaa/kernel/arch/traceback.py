# SPDX-License-Identifier: Apache-2.0
"""Tracebacks of the kernel, as a Python programmer expects them, innermost call last. And the format of section
.kaa_lines.

The stack is walked along the frame pointers; each return address is looked up in a table that the build puts into the
section after the first link (src/kaa/compiler/line_table.py). Empty or foreign, addresses are shown instead.

Format of .kaa_lines, little endian, all offsets from the section's start:

    header   16 words of u32: magic 0x334c414b ("KAL3"), number of sites, number of strings; offset << 3 | width of
             each of nine columns, in this order; offset of the strings, offset of the words, 0, 0
    columns  numbers of `width` bytes each, from one to four
      ADDRESS   of each site, less kaa_image_base, ascending. A call's site is its return address; a trapping
                instruction's is its own address.
      CHAIN     of each site: index of its first link
      LINK      number of a frame << 1 | 1: another link follows (this frame was inlined into the next). A site's links
                go from the innermost inlined function outwards.
      FUNCTION  of each frame: number of its function
      TEXT      of each frame: string, what the source says there; 0: it is not told
      LINE      of each frame
      NAME      of each function: string
      FILE      of each function: string
      OFFSET    of every eighth string, from where the strings start
    strings  one behind the other, NUL-terminated. String 0 is "?". A byte from 128 on stands for a word.
    words    128 of 12 bytes each, NULs behind the shorter ones: what is often written.

Sites that have equal chains share them, and chains their frames.
"""

from __future__ import annotations

from typing import NoReturn

from kaa.kernel import log
from kaa.kernel.arch import machine, traced_image
from kaa.kernel.arch.traced_image import ADDRESS, CHAIN, FILE, FUNCTION, LINE, LINK, NAME, TEXT
from kaa.kernel.arch.x86_64 import instructions, ipi, irq, power, stacks
from kaa.kernel.arch.x86_64.regs import Registers
from kaa.lang import Array, Atomic, cold, export, fatal, u8, u32, u64

DEEPEST = 64
LAST_LINES = 10
NOT_FOUND = 0xFFFF_FFFF

KINDS: list[bytes] = [
    b"OverflowError: integer overflow", b"IndexError: index out of range", b"AttributeError: None used",
    b"ZeroDivisionError: division by zero", b"AssertionError", b"AssertionError: unreachable code was reached",
    b"OverflowError: value does not fit", b"OSError: an error was not handled", b"AssertionError: no case matched",
    b"IndexError: pop from an empty container", b"ValueError: shift count out of range",
]  # fmt: skip
EXCEPTIONS: list[bytes] = [
    b"divide error", b"debug", b"non-maskable interrupt", b"breakpoint", b"overflow", b"bound range exceeded",
    b"invalid opcode",
    b"device not available", b"double fault (kernel stack overflow?)", b"coprocessor overrun", b"invalid TSS",
    b"segment not present", b"stack fault", b"general protection", b"page fault", b"reserved exception",
    b"floating point error",
    b"alignment check", b"machine check", b"SIMD error", b"virtualization exception", b"control protection",
]  # fmt: skip


def _kind(kind: u32) -> bytes:
    """What Python would call the bug."""
    return KINDS[kind] if kind < len(KINDS) else b"SystemError"


def _exception(vector: u32) -> bytes:
    """The processor's exception in words."""
    return EXCEPTIONS[vector] if vector < len(EXCEPTIONS) else b"exception"


class Walk:
    """The addresses of a stack, innermost first. One walk at a time: only the one panic uses it."""

    addresses: Array[u64, 64]
    count: u32
    faulted: bool
    """The innermost address is an instruction's own, not one that a call returns to."""

    def __init__(self) -> None:
        self.addresses = Array[u64, 64]()
        self.count = u32(0)
        self.faulted = False

    def add(self, address: u64) -> None:
        """One more frame; beyond DEEPEST they are dropped."""
        if self.count < DEEPEST:
            self.addresses[self.count] = address
            self.count += 1


walk = Walk()


def _find(address: u64) -> u32:
    """The site at an address, or the nearest before it within 64 bytes (a trap reported a little late)."""
    wanted = traced_image.offset(address)
    low: u32 = u32(0)
    high = traced_image.sites()
    while low < high:
        middle = (low + high) >> 1
        if traced_image.number(ADDRESS, middle) <= wanted:
            low = middle + 1
        else:
            high = middle
    if low == 0 or wanted - traced_image.number(ADDRESS, low - 1) > 64:
        return u32(NOT_FOUND)
    return low - 1


def _find_after(address: u64) -> u32:
    """The site at or next after a faulting instruction, which is no site itself: within 128 bytes it is most likely in
    the same function."""
    wanted = traced_image.offset(address)
    site = _find(address)
    following = u32(0) if site == NOT_FOUND else site + 1
    while following < traced_image.sites() and traced_image.number(ADDRESS, following) < wanted:
        following += 1
    if following < traced_image.sites() and traced_image.number(ADDRESS, following) - wanted < 128:
        return following
    return site


def _collect(frame: u64) -> None:
    """Follow the frame pointers: [rbp] is the caller's, [rbp + 8] the return address."""
    while traced_image.readable(frame) and walk.count < DEEPEST:
        address = traced_image.return_address(frame)
        if not traced_image.in_text(address):
            return
        walk.add(address)
        following = traced_image.caller(frame)
        if following <= frame:
            return
        frame = following


@cold
def _show_site(address: u64, faulted: bool) -> None:
    """The frames of one address, outermost first."""
    site = u32(NOT_FOUND)
    if traced_image.present():
        site = _find_after(address) if faulted else _find(address)
    if site == NOT_FOUND:
        log.raw(f"  at {address:#x}")
        return
    first = traced_image.number(CHAIN, site)
    last = first
    while traced_image.number(LINK, last) & 1 != 0:
        last += 1
    while True:
        _show_frame(traced_image.number(LINK, last) >> 1)
        if last == first:
            return
        last -= 1


@cold
def _show_frame(frame: u32) -> None:
    function = traced_image.number(FUNCTION, frame)
    file = traced_image.file.of(traced_image.number(FILE, function))
    name = traced_image.function.of(traced_image.number(NAME, function))
    log.raw(f'  File "{file}", line {traced_image.number(LINE, frame)}, in {name}')
    source = traced_image.number(TEXT, frame)
    if source != 0:
        log.raw(f"    {traced_image.source.of(source)}")


@cold
def _show_walk() -> None:
    log.raw("Traceback (most recent call last):")
    index = walk.count
    while index > 0:
        index -= 1
        _show_site(walk.addresses[index], walk.faulted and index == 0)


@cold
def _show_registers(regs: Registers) -> None:
    log.raw(f"rip {regs.rip:016x} rsp {regs.rsp:016x} rflags {regs.rflags:08x} cs {regs.cs:x} error {regs.orig_rax:x}")
    log.raw(f"rax {regs.rax:016x} rbx {regs.rbx:016x} rcx {regs.rcx:016x} rdx {regs.rdx:016x}")
    log.raw(f"rsi {regs.rsi:016x} rdi {regs.rdi:016x} rbp {regs.rbp:016x} r8  {regs.r8:016x}")
    log.raw(f"r9  {regs.r9:016x} r10 {regs.r10:016x} r11 {regs.r11:016x} r12 {regs.r12:016x}")
    log.raw(f"r13 {regs.r13:016x} r14 {regs.r14:016x} r15 {regs.r15:016x}")


@cold
def _show_context() -> None:
    """Which task, and the log's last lines (those before the panic)."""
    if machine.percpu.has_current():
        from kaa.kernel.process import task as tasks

        task = machine.percpu.current()
        number = machine.percpu.cpu_id()
        name = tasks.program_name(task)
        log.raw(f"CPU {number}, task {name.text()}, pid {task.pid}, cr3 {instructions.read_cr3():#x}")
    log.raw("Last lines of the log:")


def _show_log(start: u64, end: u64) -> None:
    """The log's text between two positions."""
    from kaa.kernel.arch.x86_64 import early_console

    piece = Array[u8, 64]()
    at = start
    while at < end:
        got = log.copy_from(at, piece[0 : min(end - at, 64)])
        if got == 0:
            return
        for byte in piece[0:got]:
            if byte == log.NEWLINE:
                early_console.put(u8(13))
            early_console.put(byte)
        at += got


class Panic:
    """The number, plus one, of the processor that panics; 0: none does."""

    processor: Atomic[u32]

    def __init__(self) -> None:
        self.processor = Atomic(0)


panicking = Panic()


@cold
def _begin() -> None:
    """Stop the other processors and take the log over. A bug within a panic ends the machine at once; of two processors
    that panic, the first is heard."""
    irq.disable()
    own = machine.percpu.cpu_id() + 1
    if not panicking.processor.compare_exchange(0, own):
        if panicking.processor.load() == own:
            power.panic_stop()
        power.halt_for_ever()
    ipi.stop_others()
    log.begin_panic()
    walk.count = 0


@cold
def _finish(start: u64, end: u64) -> NoReturn:
    _show_context()
    _show_log(start, end)
    log.raw("Kernel panic: the machine stops.")
    power.panic_stop()


@fatal
@cold
def panic(message: str) -> NoReturn:
    """Traceback of the caller, the reason, the log."""
    _begin()
    start, end = log.tail_start(u32(LAST_LINES)), log.newest()
    _collect(instructions.frame_pointer())
    _show_walk()
    log.raw(f"Panic: {message}")
    _finish(start, end)


@cold
def _stop_at(frame: u64) -> None:
    _begin()
    _collect(frame)
    _show_walk()


@fatal
@cold
@export("kaa_trap")
def trap(code: u32) -> NoReturn:
    """A bug found by compiled code: `code` is line << 4 | kind."""
    start, end = log.tail_start(u32(LAST_LINES)), log.newest()
    _stop_at(instructions.frame_pointer())
    log.raw(f"{_kind(code & 15)} (line {code >> 4})")
    _finish(start, end)


@fatal
@cold
@export("kaa_trap_text")
def trap_text(code: u32, text: str) -> NoReturn:
    """A failed assertion with a message, or another bug with words."""
    start, end = log.tail_start(u32(LAST_LINES)), log.newest()
    _stop_at(instructions.frame_pointer())
    log.raw(f"{_kind(code & 15)}: {text} (line {code >> 4})")
    _finish(start, end)


@fatal
@cold
def fault(vector: u32, regs: Registers, address: u64) -> NoReturn:
    """A bug found by the processor."""
    start, end = log.tail_start(u32(LAST_LINES)), log.newest()
    _begin()
    walk.faulted = True
    walk.add(regs.rip)
    _collect(regs.rbp)
    _show_walk()
    if stacks.is_guard(address):
        log.raw(f"RecursionError: the kernel stack overflowed at {regs.rip:#x}, address {address:#x}")
    else:
        log.raw(
            f"SystemError: {_exception(vector)} at {regs.rip:#x}, address {address:#x}, error code {regs.orig_rax:#x}"
        )
    _show_registers(regs)
    _finish(start, end)
