# SPDX-License-Identifier: Apache-2.0
"""Polled output on the first serial port (16550, 0x3f8): the log's console until a driver takes over, and a panic's.

Without `console=ttyS0` (or `earlycon`) on the command line nothing is written: a machine may have no such port.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import instructions
from kaa.lang import Bytes, u8, u16

PORT = 0x3F8
DATA, INTERRUPTS, FIFO, LINE, MODEM, LINE_STATUS = 0, 1, 2, 3, 4, 5
EMPTY = 0x20
ABSENT = 0xFF
PATIENCE = 100_000
NEWLINE, RETURN = 10, 13


class Port:
    """Is there a port?"""

    present: bool

    def __init__(self) -> None:
        self.present = False


port = Port()


def initialise() -> None:
    """115200 baud, 8 bits, FIFO on; interrupts off. No port: its registers read as ones."""
    instructions.out8(u16(PORT + INTERRUPTS), 0)
    instructions.out8(u16(PORT + LINE), 0x80)
    instructions.out8(u16(PORT + DATA), 1)
    instructions.out8(u16(PORT + INTERRUPTS), 0)
    instructions.out8(u16(PORT + LINE), 3)
    instructions.out8(u16(PORT + FIFO), 7)
    instructions.out8(u16(PORT + MODEM), 3)
    port.present = instructions.in8(u16(PORT + LINE_STATUS)) != ABSENT


def put(byte: u8) -> None:
    """Write one byte, when the transmitter is empty or does not become so."""
    for _ in range(PATIENCE):
        if instructions.in8(u16(PORT + LINE_STATUS)) & EMPTY != 0:
            break
    instructions.out8(u16(PORT), byte)


def write(text: Bytes) -> None:
    """Write text, a carriage return before each newline."""
    if not port.present:
        return
    for byte in text:
        if byte == NEWLINE:
            put(u8(RETURN))
        put(byte)
