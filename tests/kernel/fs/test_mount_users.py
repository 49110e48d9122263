# SPDX-License-Identifier: Apache-2.0
"""Users of mounts that processors count for themselves: nothing is lost or counted twice, whoever counts up or down
where, and whether a mount has a sum or not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.kernel import log  # noqa: F401  (the machine's modules load in this order)
from kaa.kernel.arch import machine
from kaa.kernel.arch.sums import MOUNT_USERS, MOUNTS
from kaa.kernel.fs import mount_users, standing
from kaa.lang import Atomic, u32, u64, wrapping_add


class Place:
    """What mount_users sees of a Mount."""

    def __init__(self) -> None:
        self.users: Any = Atomic(u32(0))
        self.counted_at: Any = Atomic(u64(mount_users.NOWHERE))
        self.held = 0
        self.model = 0


class Processors:
    """Three, each with its part of each sum; `here` runs. A grace period is over at once."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.here = 0
        self.parts = [dict[int, int]() for _ in range(3)]
        patch.setattr(machine.percpu, "add", self.add)
        patch.setattr(machine.percpu, "total", lambda which: u64(sum(part.get(which, 0) for part in self.parts)))
        patch.setattr(mount_users, "sums", mount_users.Sums())
        patch.setattr(mount_users.rcu, "synchronize", lambda: None)
        patch.setattr(standing, "retain", lambda place: setattr(place, "held", place.held + 1))
        patch.setattr(standing, "address_of", lambda place: place)
        patch.setattr(standing, "_give_back", lambda place: setattr(place, "held", place.held - 1))

    def add(self, which: int, change: int) -> None:
        part = self.parts[self.here]
        part[which] = wrapping_add(u64(part.get(which, 0)), u64(change))


STEPS = st.tuples(
    st.sampled_from(["hold", "hold", "let_go", "spread", "gather"]), st.integers(0, 2), st.integers(0, 5)
)


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=120), st.integers(1, 4))
def test_sums_are_those_of_one_count(steps: list[tuple[str, int, int]], free: int) -> None:
    """Six mounts in any order, with more or fewer sums, which are used again."""
    with pytest.MonkeyPatch.context() as patch:
        processors = Processors(patch)
        mount_users.sums.free = u64((1 << free) - 1)
        places: Any = [Place() for _ in range(6)]
        for name, number, which in steps:
            place = places[which]
            processors.here = number
            spread = place.counted_at.load() != mount_users.NOWHERE
            if name == "hold":
                standing.hold(place)
                place.model += 1
            elif name == "let_go" and place.model > spread:  # the table stays a user
                standing.let_go(place)
                place.model -= 1
            elif name == "spread" and place.model and not spread:
                mount_users.spread(place)
            elif name == "gather":
                mount_users.gather(place)
            if place.counted_at.load() == mount_users.NOWHERE:
                assert place.users.load() == place.model
            assert place.held == (place.model > 0)


def test_a_mount_with_a_sum_writes_nothing_that_others_read(monkeypatch: pytest.MonkeyPatch) -> None:
    Processors(monkeypatch)
    place: Any = Place()
    standing.hold(place)
    mount_users.spread(place)
    before = place.users.load()
    for _ in range(5):
        standing.hold(place)
    assert place.users.load() == before
    mount_users.gather(place)
    assert place.users.load() == 6


def test_when_sums_run_out_users_are_counted_in_the_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    Processors(monkeypatch)
    places: Any = [Place() for _ in range(MOUNTS + 1)]
    for place in places:
        standing.hold(place)
        mount_users.spread(place)
    assert [place.counted_at.load() for place in places] == [*range(MOUNT_USERS, MOUNT_USERS + MOUNTS), 0]
    standing.hold(places[-1])
    assert places[-1].users.load() == 2
