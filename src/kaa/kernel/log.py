# SPDX-License-Identifier: Apache-2.0
"""The kernel's log: `log.info(f"…")`, `log.warn`, `log.error`; `log.panic(f"…")` stops the machine with a traceback.

A ring of text lines, each "<level>[seconds.microseconds] text\n"; the oldest make room. `position` counts bytes ever
written, so a reader (/dev/kmsg, dmesg) keeps its own place. Lines up to the console level also go to the console: the
early serial port until a driver calls `take_console`.

Anyone may log from anywhere, on any processor: `writing` (interrupts off, the innermost of all) is held while a line is
written, so lines do not mix. A line that comes up on the processor that is writing one, from within a console, is
dropped and counted. A panic does not ask for the lock: who holds it may never give it back.
Boot parameters: quiet, debug, loglevel=N, console=NAME, earlycon.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from kaa.kernel.arch import machine
from kaa.kernel.arch.x86_64 import early_console
from kaa.kernel.init.command_line import boot_param, number
from kaa.lang import (
    Array,
    Atomic,
    Bytes,
    Guarded,
    Slice,
    acquires,
    cold,
    fatal,
    lock,
    releases,
    u8,
    u32,
    u64,
    usize,
)
from kaa.lang.builtins import text as texts

RING_SIZE = 16384
ERROR, WARNING, INFO, DEBUG = 3, 4, 6, 7
QUIET_LEVEL, DEFAULT_LEVEL = 4, 7
PATIENCE = 1 << 22
"""Looks at the lock's word before a line is given up."""
NEWLINE = 10
ZERO = 48


@lock
class LogLock:
    """The log's lock. No SpinLock: those may log themselves, and this one gives up waiting."""

    held: Atomic[u32]
    panicking: Atomic[bool]
    """A panic is under way: everybody has the log, for who holds it may never give it back."""

    def __init__(self) -> None:
        self.held = Atomic(0)
        self.panicking = Atomic(False)

    @acquires("irq", tried=True)
    def take(self) -> bool:
        """The log for this processor, whose interrupts are off; False when it has been busy for so long that whoever
        has it must be this processor itself, or dead. In a panic everybody has it."""
        for _ in range(PATIENCE):
            if self.panicking.load_relaxed():
                return True
            if self.held.load_relaxed() == 0 and self.held.exchange(1) == 0:
                return True
        return False

    @releases
    def give(self) -> None:
        """After take."""
        self.held.store_release(0)


class Log:
    """The ring and its console."""

    ring: Guarded[Array[u8, 16384], "log.writing"]
    position: Atomic[u64]
    """Bytes ever written; the last RING_SIZE of them are in the ring. Changed under the lock."""
    level: Guarded[u32, "log.writing"]
    console_level: u32
    console: Guarded[Callable[[Bytes], None] | None, "log.writing"]
    serial: Atomic[bool]
    """The serial port is to be a console: by the command line, or because of a panic."""
    lost: Atomic[u64]
    """Pieces that a console refused, and lines that found the log busy for too long."""
    time: Guarded[Array[u8, 20], "log.writing"]

    def __init__(self) -> None:
        self.ring = Array[u8, 16384]()
        self.position = Atomic(0)
        self.level = u32(INFO)
        self.console_level = u32(DEFAULT_LEVEL)
        self.console = early_console.write
        self.serial = Atomic(False)
        self.lost = Atomic(0)
        self.time = Array[u8, 20]()


writing = LogLock()
log = Log()


@boot_param("quiet")
def _quiet(value: Bytes) -> None:
    log.console_level = u32(QUIET_LEVEL)


@boot_param("debug")
def _debug(value: Bytes) -> None:
    log.console_level = u32(DEBUG + 1)


@boot_param("loglevel")
def _loglevel(value: Bytes) -> None:
    log.console_level = u32(number(value))


@boot_param("console")
def _console(value: Bytes) -> None:
    if value.startswith(b"ttyS0"):
        log.serial.store_relaxed(True)


@boot_param("earlycon")
def _earlycon(value: Bytes) -> None:
    log.serial.store_relaxed(True)


def _append(piece: Bytes) -> None:
    """Put bytes into the ring, and on the console if this line goes there."""
    position = log.position.load_relaxed()
    at = usize(position & (RING_SIZE - 1))
    room = RING_SIZE - at
    if len(piece) <= room:
        log.ring[at : at + len(piece)].copy_from(piece)
    elif len(piece) <= RING_SIZE:
        log.ring[at:RING_SIZE].copy_from(piece[0:room])
        log.ring[0 : len(piece) - room].copy_from(piece[room:])
    log.position.store_release(position + len(piece))
    console = log.console
    if console is not None and log.serial.load_relaxed() and log.level < log.console_level:
        _show(console, piece)


def _show(console: Callable[[Bytes], None], piece: Bytes) -> None:
    try:
        console(piece)
    except Exception:
        log.lost.fetch_add(1)


def _stamp(level: u32) -> None:
    """The beginning of a line: `<6>[    1.234567] `; the level goes into the ring only."""
    shown = log.console
    log.console = None
    log.time[0] = 60
    log.time[1] = u8(ZERO + level)
    log.time[2] = 62
    _append(log.time[0:3])
    log.console = shown
    microseconds = machine.clock.monotonic_ns() // 1000
    _number(log.time[1:6], microseconds // 1_000_000, u8(32))
    _number(log.time[7:13], microseconds % 1_000_000, u8(ZERO))
    log.time[0] = 91
    log.time[6] = 46
    log.time[13] = 93
    log.time[14] = 32
    _append(log.time[0:15])


def _number(into: Slice[u8], value: u64, filler: u8) -> None:
    """A decimal number, right-aligned."""
    at = len(into)
    while at > 0:
        at -= 1
        into[at] = u8(ZERO + value % 10)
        value = value // 10
        if value == 0:
            break
    while at > 0:
        at -= 1
        into[at] = filler


def _line(level: u32, message: str) -> None:
    saved = machine.irq.save()
    if writing.take():
        log.level = level
        _stamp(level)
        _render(message)
        _append(b"\n")
        writing.give()
    else:
        log.lost.fetch_add(1)
    machine.irq.restore(saved)


def _render(message: str) -> None:
    """Nothing that takes part in logging may fail; what is passed as a Callable could, for all the compiler knows."""
    try:
        texts.render(message, _append)
    except Exception:
        log.lost.fetch_add(1)


def debug(message: str) -> None:
    """For those who develop the kernel."""
    _line(u32(DEBUG), message)


def info(message: str) -> None:
    """Something an administrator may want to know."""
    _line(u32(INFO), message)


@cold
def warn(message: str) -> None:
    """Something is odd; the kernel goes on."""
    _line(u32(WARNING), message)


@cold
def error(message: str) -> None:
    """Something failed."""
    _line(u32(ERROR), message)


@cold
def raw(message: str) -> None:
    """A line of a panic: no time stamp, always on the console."""
    if writing.take():
        log.level = u32(0)
        _render(message)
        _append(b"\n")
        writing.give()


@fatal
@cold
def panic(message: str) -> NoReturn:
    """The kernel cannot go on: traceback, the reason, the last log lines; the machine stops with a non-zero status."""
    from kaa.kernel.arch import traceback

    traceback.panic(message)


def begin_panic() -> bool:
    """Take the log over for a panic; False if one is under way (a panic within a panic)."""
    machine.irq.disable()
    first = not writing.panicking.exchange(True)
    log.serial.store_relaxed(True)
    _set_console(early_console.write)
    return first


def take_console(write: Callable[[Bytes], None]) -> None:
    """A console driver is ready: it writes from now on."""
    saved = machine.irq.save()
    _set_console(write)
    machine.irq.restore(saved)


def _set_console(write: Callable[[Bytes], None]) -> None:
    if writing.take():
        log.console = write
        writing.give()


def oldest() -> u64:
    """The position of the oldest byte still in the ring."""
    position = newest()
    return position - RING_SIZE if position > RING_SIZE else u64(0)


def newest() -> u64:
    """The position one past the newest byte."""
    return log.position.load_acquire()


def copy_from(position: u64, into: Slice[u8]) -> usize:
    """Copy what stands in the ring from `position` (at least oldest()) on; gives how many bytes: none while the log is
    busy for too long."""
    count: usize = 0
    saved = machine.irq.save()
    if writing.take():
        start = max(position, oldest())
        count = usize(min(u64(len(into)), newest() - start))
        for index in range(count):
            into[index] = log.ring[(start + index) & (RING_SIZE - 1)]
        writing.give()
    machine.irq.restore(saved)
    return count


def tail_start(lines: u32) -> u64:
    """Where the last `lines` lines begin. In a panic."""
    at = newest()
    if not writing.take():
        return at
    wanted = lines + 1
    while at > oldest():
        if log.ring[(at - 1) & (RING_SIZE - 1)] == NEWLINE:
            wanted -= 1
            if wanted == 0:
                break
        at -= 1
    writing.give()
    return at
