# SPDX-License-Identifier: Apache-2.0
"""Allocations that fail on purpose, so that tests reach the paths that only a full machine takes.

- /proc/kaa/fail-nth: a task writes n, and its nth allocation from then on fails (`Task.fail_nth`; 0 again afterwards).
- `kaa.failslab=N` on the kernel's command line: every Nth allocation of a user task fails, from pid 1's start on.

Both count objects, buffers and frames alike. When neither is in use the cost is one load per allocation.
"""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.kernel.init.command_line import boot_param, number
from kaa.lang import Bytes, cold, inline, noinline, u64


class Injection:
    """What fails. `tasks` counts the tasks with a pending fail_nth; plain words, since a lost update only blurs a
    test."""

    interval: u64 = 0
    count: u64 = 0
    tasks: u64 = 0
    active: bool = False
    injected: u64 = 0
    """Failures so far."""


injection = Injection()


@inline
def armed() -> bool:
    """Whether any allocation may be made to fail at all."""
    return injection.active


@cold
@noinline
def should_fail() -> bool:
    """Whether this allocation is to fail. Never in an interrupt or before there are tasks."""
    if machine.irq.in_interrupt() or not machine.percpu.has_current():
        return False
    return _nth_is_now() or _interval_is_over()


def _nth_is_now() -> bool:
    task = machine.percpu.current()
    if task.fail_nth == 0:
        return False
    task.fail_nth -= 1
    if task.fail_nth > 0:
        return False
    injection.tasks -= 1
    _rearm()
    injection.injected += 1
    return True


def _interval_is_over() -> bool:
    if injection.interval == 0 or machine.percpu.current().mm is None:
        return False
    injection.count += 1
    if injection.count < injection.interval:
        return False
    injection.count = 0
    injection.injected += 1
    return True


def _rearm() -> None:
    injection.active = injection.interval != 0 or injection.tasks != 0


def fail_every(interval: u64) -> None:
    """kaa.failslab=N; 0 switches it off."""
    injection.interval = interval
    injection.count = 0
    _rearm()


@boot_param("kaa.failslab")
def _failslab(value: Bytes) -> None:
    fail_every(u64(max(number(value), 0)))


def set_fail_nth(n: u64) -> None:
    """Let the calling task's nth allocation from now fail; 0: none."""
    task = machine.percpu.current()
    if (task.fail_nth != 0) != (n != 0):
        if n != 0:
            injection.tasks += 1
        else:
            injection.tasks -= 1
    task.fail_nth = n
    _rearm()


def forget(fail_nth: u64) -> None:
    """A task exits with this many allocations to go."""
    if fail_nth != 0 and injection.tasks > 0:
        injection.tasks -= 1
        _rearm()
