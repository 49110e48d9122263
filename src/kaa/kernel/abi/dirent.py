# SPDX-License-Identifier: Apache-2.0
"""Directory entries as getdents(2) and getdents64(2) write them, and the DT_ types."""

from __future__ import annotations

from kaa.lang import i64, struct, u8, u16, u32, u64

DT_UNKNOWN = 0
DT_FIFO = 1
DT_CHR = 2
DT_DIR = 4
DT_BLK = 6
DT_REG = 8
DT_LNK = 10
DT_SOCK = 12

DIRENT64_HEADER = 19
DIRENT_HEADER = 18


@struct(packed=True)
class Dirent64:
    """The fixed head of struct linux_dirent64, 19 bytes; the NUL-ended name follows."""

    d_ino: u64 = 0
    d_off: i64 = 0
    d_reclen: u16 = 0
    d_type: u8 = 0


@struct(packed=True)
class Dirent:
    """The fixed head of struct linux_dirent, 18 bytes; name, NUL, padding, and the type in the last byte follow."""

    d_ino: u64 = 0
    d_off: u64 = 0
    d_reclen: u16 = 0


def type_of(mode: u32) -> u32:
    """The DT_ value of a file mode: its type bits shifted down (readdir(3))."""
    return (mode >> 12) & 15
