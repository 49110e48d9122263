# SPDX-License-Identifier: Apache-2.0
"""The machine's end: off, reboot, or stopped after a panic.

`kaa.exit=debug` on the command line: the status goes out as a byte at port 0x505 (isa-debugcon), then QEMU's
isa-debug-exit device (port 0x501) ends the emulator with (s << 1 | 1) mod 256. After a panic no status byte is written.
Otherwise power-off is ACPI's S5, and reboot tries ACPI's reset register, port 0xcf9, the keyboard controller, and a
triple fault, in that order.
"""

from __future__ import annotations

from typing import NoReturn

from kaa.kernel.arch.x86_64 import instructions
from kaa.kernel.drivers.acpi import power as acpi
from kaa.lang import i64, u8, u16, u32

DEBUG_EXIT_PORT = 0x501
STATUS_PORT = 0x505
PANIC_STATUS = 126
"""The debug exit's status of a machine that panicked."""


class PowerState:
    """What the command line chose."""

    debug_exit: bool
    panic_seconds: i64
    """panic=N: 0 stops, a negative number reboots at once."""

    def __init__(self) -> None:
        self.debug_exit = False
        self.panic_seconds = 0


state = PowerState()


def halt_for_ever() -> NoReturn:
    """This processor does nothing any more."""
    while True:
        instructions.stop()


def _debug_exit(status: u32) -> None:
    instructions.out16(u16(DEBUG_EXIT_PORT), u16(status & 0x7F))


def off(status: u32) -> NoReturn:
    """Switch the machine off; `status` reaches the host when it can."""
    if state.debug_exit:
        instructions.out8(u16(STATUS_PORT), u8(status))
        _debug_exit(status)
    acpi.off()
    halt_for_ever()


def reboot() -> NoReturn:
    """Start the machine anew."""
    acpi.reset()
    instructions.out8(u16(0xCF9), 6)
    instructions.out8(u16(0x64), 0xFE)
    instructions.triple_fault()
    halt_for_ever()


def panic_stop() -> NoReturn:
    """After a panic: tell the host, or reboot if the command line says so (panic=), or stop."""
    if state.debug_exit:
        _debug_exit(PANIC_STATUS)
    if state.panic_seconds != 0:
        reboot()
    halt_for_ever()
