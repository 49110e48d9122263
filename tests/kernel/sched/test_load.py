# SPDX-License-Identifier: Apache-2.0
"""Load averages against the formula of an exponentially decaying average."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.kernel.sched.load import INTERVAL, MINUTES, ONE, LoadAverage
from kaa.lang import u64


@given(st.lists(st.integers(0, 400), max_size=200))
def test_samples_decay_as_the_formula_says(samples: list[int]) -> None:
    averages = LoadAverage()
    exact = [0.0] * len(MINUTES)
    for number, active in enumerate(samples):
        averages.catch_up(u64(INTERVAL * (number + 1)), u64(active))
        for index, minutes in enumerate(MINUTES):
            part = math.exp(-5 / (60 * minutes))
            exact[index] = exact[index] * part + active * (1 - part)
    for index in range(len(MINUTES)):
        assert averages.averages[index].load() / ONE == pytest.approx(exact[index], rel=0.02, abs=0.02)


def test_idle_time_counts_as_samples_of_nothing() -> None:
    averages = LoadAverage()
    for number in range(120):
        averages.catch_up(u64(INTERVAL * (number + 1)), u64(8))
    before = averages.averages[0].load()
    averages.catch_up(u64(INTERVAL * 120 + INTERVAL // 2), u64(8))
    assert averages.averages[0].load() == before, "nothing is due yet"
    averages.catch_up(u64(INTERVAL * 132), u64(0))
    assert averages.averages[0].load() / before == pytest.approx(math.exp(-1), rel=0.01)
    averages.catch_up(u64(INTERVAL * 10**9), u64(0))
    assert averages.averages[0].load() < ONE // 1000
