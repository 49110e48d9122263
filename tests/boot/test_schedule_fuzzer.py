# SPDX-License-Identifier: Apache-2.0
"""Futexes, pipes, wait calls, signals and look-ups under RCU hold on schedules that vary with a seed. The trials are
programs/fuzzed.c; a failure names the seed and the processors, which repeat it (kaa.schedule_seed=N, icount)."""

from __future__ import annotations

import pathlib

import pytest
import world

pytestmark = pytest.mark.boot

MACHINES = [(1, 1), (1, 2), (2, 3), (2, 4), (3, 5), (4, 6)]
"""Processors, and the seed."""


def order(kernel: pathlib.Path, programs: world.Programs, trial: str, cpus: int, seed: int) -> str:
    """What stands for the order in which things happened in a trial that held."""
    said = world.under_icount(kernel, programs, "fuzzed", trial, cpus, f"kaa.schedule_seed={seed}")
    words = said[0].split() if said else []
    assert words[:2] == [trial, "ok"], f"seed {seed} on {cpus} processors: {said}"
    return words[2]


@pytest.mark.parametrize("trial", ["futex", "pipe", "wait", "signal", "rcu"])
def test_promises_hold_on_every_schedule(kernel: pathlib.Path, programs: world.Programs, trial: str) -> None:
    orders = [order(kernel, programs, trial, cpus, seed) for cpus, seed in MACHINES]
    assert len(set(orders)) == len(orders), f"the seeds do not vary what {trial} sees: {orders}"
    assert order(kernel, programs, trial, *MACHINES[-1]) == orders[-1], "a seed does not repeat its schedule"
