# SPDX-License-Identifier: Apache-2.0
"""Allocations that fail on purpose, so that tests reach the paths that only a full machine takes.

- /proc/kaa/fail-nth: a task writes n, and its nth allocation from then on fails (`Task.fail_nth`; 0 again afterwards).
- `kaa.failslab=N` on the kernel's command line: every Nth allocation of a user task fails, from pid 1's start on.

Both count objects, buffers and frames alike. When neither is in use the cost is one load per allocation. A task's
`fail_nth` is its own; what is common is under `injection`, a lock of its own (interrupts off).
"""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.kernel.init.command_line import boot_param, number
from kaa.kernel.locking.spinlock import LeafLock
from kaa.lang import Atomic, Bytes, cold, guarded, inline, noinline, u64


@guarded("self")
class Injection(LeafLock):
    """What fails; its own lock."""

    active: Atomic[bool]
    """Whether anything may fail at all: looked at without the lock."""
    interval: u64 = 0
    count: u64 = 0
    tasks: u64 = 0
    """Tasks with a pending fail_nth."""
    injected: u64 = 0
    """Failures so far."""

    def __init__(self) -> None:
        super().__init__("fault injection")
        self.active = Atomic(False)

    def rearm(self) -> None:
        """Something began or ended. Under the lock."""
        self.active.store_relaxed(self.interval != 0 or self.tasks != 0)


injection = Injection()


@inline
def armed() -> bool:
    """Whether any allocation may be made to fail at all."""
    return injection.active.load_relaxed()


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
    injection.acquire()
    injection.tasks -= 1
    injection.injected += 1
    injection.rearm()
    injection.release()
    return True


def _interval_is_over() -> bool:
    if machine.percpu.current().mm is None:
        return False
    injection.acquire()
    over = False
    if injection.interval != 0:
        injection.count += 1
        over = injection.count >= injection.interval
        if over:
            injection.count = 0
            injection.injected += 1
    injection.release()
    return over


def fail_every(interval: u64) -> None:
    """kaa.failslab=N; 0 switches it off."""
    injection.acquire()
    injection.interval = interval
    injection.count = 0
    injection.rearm()
    injection.release()


@boot_param("kaa.failslab")
def _failslab(value: Bytes) -> None:
    fail_every(u64(max(number(value), 0)))


def set_fail_nth(n: u64) -> None:
    """Let the calling task's nth allocation from now fail; 0: none."""
    task = machine.percpu.current()
    was = task.fail_nth
    injection.acquire()
    if was == 0 and n != 0:
        injection.tasks += 1
    if was != 0 and n == 0:
        injection.tasks -= 1
    task.fail_nth = n
    injection.rearm()
    injection.release()


def forget(fail_nth: u64) -> None:
    """A task exits with this many allocations to go."""
    if fail_nth == 0:
        return
    injection.acquire()
    injection.tasks -= 1
    injection.rearm()
    injection.release()
