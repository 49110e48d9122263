# SPDX-License-Identifier: Apache-2.0
"""Kernel threads hammer each kind of lock on four processors (kernel/locking/stress.py), from several seeds."""

from __future__ import annotations

import re

import pytest
import world

from kaa.host import cpio
from kaa.host.machine import Result
from kaa.host.request import Request

pytestmark = pytest.mark.boot

KINDS = (
    "spinlock",
    "irq spinlock",
    "leaf lock",
    "mutex",
    "rwsem",
    "seqlock",
    "rcu",
    "late end",
    "wait queue",
    "work queue",
    "per-processor counter",
)


def stressed(boot: world.Boot, programs: world.Programs, words: str, cpus: int) -> Result:
    """A boot whose locks are hammered before a program says hello."""
    result = boot("/bin/small", "hello", entries=[programs.entry("small")], append=words, cpus=cpus, timeout=150)
    world.assert_sound(result)
    return result


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_locks_hold_on_four_processors(boot: world.Boot, programs: world.Programs, seed: int) -> None:
    log = stressed(boot, programs, f"kaa.stress=locks:{seed}:400", 4).log
    for kind in KINDS:
        assert f"kaa.stress: {kind}: " in log, log[-3000:]
    assert f"all kinds of locks hold, seed {seed}" in log
    assert "by 8 threads" in log


def test_locks_hold_on_one_processor(boot: world.Boot, programs: world.Programs) -> None:
    log = stressed(boot, programs, "kaa.stress=locks:4:400", 1).log
    assert "all kinds of locks hold, seed 4" in log and "by 2 threads" in log


def test_spinlocks_that_queue_hold_too(boot: world.Boot, programs: world.Programs) -> None:
    log = stressed(boot, programs, "kaa.spin=queue kaa.stress=locks:5:40", 2).log
    assert "all kinds of locks hold, seed 5" in log


def test_a_seed_repeats_exactly_under_icount(kernel: object, programs: world.Programs, boot: world.Boot) -> None:
    """One instruction after the other, all processors in turn: the same seed takes the same time."""
    from kaa.host.machine import Machine

    request = Request(["/bin/small", "hello"], "/bin/small", environment=world.ENVIRONMENT)
    archive = cpio.write([cpio.directory("bin"), programs.entry("small")]) + request.archive()
    times: list[list[str]] = []
    for seed in (6, 6, 7):
        words = f"console=ttyS0 kaa.exit=debug kaa.run panic=-1 kaa.spin=queue kaa.stress=locks:{seed}:40"
        with Machine(
            boot.kernel,
            initrd=archive,
            append=words,
            memory="128M",
            cpus=4,
            timeout=150,
            rng=False,
            extra=world.ICOUNT,
        ) as guest:
            result = guest.run(b"")
        world.assert_sound(result)
        assert f"all kinds of locks hold, seed {seed}" in result.log
        times.append(re.findall(r".*kaa.stress: .*", result.log))
    assert times[0] == times[1] != times[2]
