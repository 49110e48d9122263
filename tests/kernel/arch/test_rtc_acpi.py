# SPDX-License-Identifier: Apache-2.0
"""The battery clock's calendar, and ACPI's soft-off values."""

from __future__ import annotations

import datetime

from hypothesis import given
from hypothesis import strategies as st

from kaa.kernel.arch.x86_64 import rtc
from kaa.kernel.drivers.acpi import power, tables
from kaa.lang import u32


@given(st.dates(datetime.date(2000, 1, 1), datetime.date(2099, 12, 31)))
def test_days_are_the_gregorian_calendar_s(day: datetime.date) -> None:
    wanted = (day - datetime.date(1970, 1, 1)).days
    assert rtc.days_before(u32(day.year), u32(day.month), u32(day.day)) == wanted


def _dsdt(package: bytes) -> bytes:
    return bytes(tables.HEADER_SIZE) + b"\x08_S5_\x12" + package + bytes(32)


def test_soft_off_values_are_read_from_the_package() -> None:
    assert power.soft_off_types(_dsdt(b"\x06\x04\x0a\x05\x0a\x07\x00\x00")) == (5, 7)
    assert power.soft_off_types(_dsdt(b"\x06\x04\x00\x01\x00\x00")) == (0, 1)


@given(st.binary(max_size=200))
def test_a_damaged_dsdt_is_no_bug(damage: bytes) -> None:
    power.soft_off_types(damage)
    power.soft_off_types(_dsdt(damage[:8])[:-24])
