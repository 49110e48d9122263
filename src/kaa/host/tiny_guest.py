# SPDX-License-Identifier: Apache-2.0
"""A guest of a few dozen instructions: an ELF image with a PVH entry note whose code is given in bytes.

It stands in for a kernel where only the machine around it matters: the probe for KVM, and the tests of Machine.
Sources: ELF-64 object file format; Xen's "x86/HVM direct boot ABI" (PVH: 32-bit protected mode, paging off, ebx =
start info).
"""

from __future__ import annotations

import struct

LOAD = 0x100000
XEN_ELFNOTE_PHYS32_ENTRY = 18
EM_X86_64 = 62
HEADER_SIZE, PROGRAM_HEADER_SIZE = 64, 56


def outb(port: int, value: int) -> bytes:
    """mov $port, %dx; mov $value, %al; out %al, %dx"""
    return b"\x66\xba" + struct.pack("<H", port) + b"\xb0" + bytes([value]) + b"\xee"


def outw(port: int, value: int) -> bytes:
    """mov $port, %dx; mov $value, %ax; out %ax, %dx"""
    return b"\x66\xba" + struct.pack("<H", port) + b"\x66\xb8" + struct.pack("<H", value) + b"\x66\xef"


def halt_forever() -> bytes:
    """cli; 1: hlt; jmp 1b"""
    return b"\xfa\xf4\xeb\xfd"


def image(code: bytes) -> bytes:
    """An executable that QEMU's -kernel loads at 1 MiB and enters at the code's first byte."""
    note = struct.pack("<III4sI", 4, 4, XEN_ELFNOTE_PHYS32_ENTRY, b"Xen\0", LOAD)
    note_at = HEADER_SIZE + 2 * PROGRAM_HEADER_SIZE
    code_at = note_at + len(note)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, EM_X86_64, 1, LOAD, HEADER_SIZE, 0, 0,
                         HEADER_SIZE, PROGRAM_HEADER_SIZE, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 7, code_at, LOAD, LOAD, len(code), len(code), 1)
    notes = struct.pack("<IIQQQQQQ", 4, 4, note_at, 0, 0, len(note), len(note), 4)
    return header + load + notes + note + code
