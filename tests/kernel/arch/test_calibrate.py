# SPDX-License-Identifier: Apache-2.0
"""The rates of TSC and APIC timer, measured on a simulated machine whose host may take the processor away."""

from __future__ import annotations

import pytest

from kaa.kernel.arch.x86_64 import apic, calibrate, instructions

TSC = 2_300_000_000
APIC = 62_500_000


class Clockwork:
    """Each look at a clock takes a microsecond; at the given looks the host is elsewhere for so many seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, away: dict[int, float]) -> None:
        self.seconds = 0.0
        self.looks = 0
        self.away = away
        monkeypatch.setattr(instructions, "read_tsc", lambda: int(self.look() * TSC))
        monkeypatch.setattr(calibrate, "_pit_start", lambda: None)
        monkeypatch.setattr(calibrate, "_pit_read", lambda: -int(self.look() * calibrate.PIT_HZ) & 0xFFFF)
        monkeypatch.setattr(apic, "arm_count", lambda count: None)
        monkeypatch.setattr(apic, "read", lambda register: 0xFFFF_FFFF - int(self.look() * APIC))

    def look(self) -> float:
        self.looks += 1
        self.seconds += 1e-6 + self.away.get(self.looks, 0.0)
        return self.seconds


@pytest.mark.parametrize("away", [
    {}, {200: 0.0571}, {200: 0.004}, {200: 0.0571, 2000: 0.2}, {15: 0.0571}, {10: 0.13, 14: 0.2},
    {100: 0.03, 300: 0.0271}, {at: 0.0571 for at in range(100, 3000, 700)},
], ids=str)
def test_a_busy_host_makes_the_processor_no_faster(monkeypatch: pytest.MonkeyPatch, away: dict[int, float]) -> None:
    Clockwork(monkeypatch, away)
    found = calibrate._measure()  # pyright: ignore[reportPrivateUsage]
    assert found.tsc == pytest.approx(TSC, rel=0.01)
    assert found.apic == pytest.approx(APIC, rel=0.02)


def test_without_an_8254_the_apic_timer_is_the_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    clockwork = Clockwork(monkeypatch, {})
    monkeypatch.setattr(calibrate, "_pit_read", lambda: 0xFFFF)
    monkeypatch.setattr(apic, "read", lambda register: 0xFFFF_FFFF - int(clockwork.look() * 1e9))
    found = calibrate._measure()  # pyright: ignore[reportPrivateUsage]
    assert found.tsc == pytest.approx(TSC, rel=0.01)
