# SPDX-License-Identifier: Apache-2.0
"""The battery clock (MC146818 and its descendants): what time it was when the machine started."""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import instructions
from kaa.lang import u8, u16, u32, u64

INDEX = 0x70
DATA = 0x71
SECONDS, MINUTES, HOURS, DAY, MONTH, YEAR, STATUS_A, STATUS_B = 0, 2, 4, 7, 8, 9, 10, 11
UPDATING = 0x80
TWENTY_FOUR_HOURS = 2
BINARY = 4
PATIENCE = 1000


def read(register: u8) -> u32:
    """One register of the clock."""
    instructions.out8(u16(INDEX), register)
    return u32(instructions.in8(u16(DATA)))


def _decimal(value: u32, binary: bool) -> u32:
    """A register's value, from binary-coded decimal if it is that."""
    if binary:
        return value
    return (value >> 4) * 10 + (value & 15)


def days_before(year: u32, month: u32, day: u32) -> u32:
    """Days from 1970-01-01 to a date of the Gregorian calendar (months counted from March, so that leap days come
    last)."""
    shifted_year = year - 1 if month <= 2 else year
    shifted_month = month + 9 if month <= 2 else month - 3
    era = shifted_year // 400
    of_era = shifted_year - era * 400
    of_year = (153 * shifted_month + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def _now() -> u64:
    """The clock's time in seconds since 1970, as its registers stand."""
    status = read(STATUS_B)
    binary = status & BINARY != 0
    hour = read(HOURS)
    afternoon = hour & 0x80 != 0
    hour = _decimal(hour & 0x7F, binary)
    if status & TWENTY_FOUR_HOURS == 0:
        hour = hour % 12 + (12 if afternoon else 0)
    days = days_before(2000 + _decimal(read(YEAR), binary), _decimal(read(MONTH), binary), _decimal(read(DAY), binary))
    seconds = hour * 3600 + _decimal(read(MINUTES), binary) * 60 + _decimal(read(SECONDS), binary)
    return u64(days) * 86400 + u64(seconds)


def seconds() -> u64:
    """Seconds since 1970-01-01 UTC; 0 if there is no such clock. Read until two readings agree."""
    if read(STATUS_B) == 0xFF or read(MONTH) == 0:
        return u64(0)
    for _ in range(PATIENCE):
        if read(STATUS_A) & UPDATING == 0:
            first = _now()
            if first == _now():
                return first
    return u64(0)
