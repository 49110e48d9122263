# SPDX-License-Identifier: Apache-2.0
"""RCU: readers that take no lock, and writers that wait with giving up what they replaced until no reader can have it.

    with rcu.read():                       # neither sleeps nor is preempted
        table = registry.table             # an Rcu field: borrowed until the section ends
        …
    registry.table = Table(…)              # under the writers' own lock; the old one is *retired*

A grace period is over when every processor has been seen outside a reader's section once since it began. A section
keeps preemption off, so a processor whose preemption count is 0 is outside. `synchronize` asks: it interrupts the
processors that are not this one, and whoever finds the count at 0 has answered; the others are asked again a
millisecond later. So nothing is counted in system calls, switches or the idle loop, which cost what they did, and an
idle processor answers at once. (Readers in interrupt handlers run with interrupts off, as do the answers: no answer is
given in the middle of one.) This processor, when it asks, is outside itself.

Order: the answers come from interrupts, so what a processor wrote before (and what it had read) is before its answer;
who asked sees the answer before it goes on.

Retired objects (retiring.py) wait in lists, one for each processor. Each processor has a thread `rcu`, started when the
first object is retired there, which takes the list, waits for one grace period for all of it, and gives the references
up. It is in no hurry: a processor that has switched from one task to another since the list was taken was outside, so
only if one did not in BATCH_NS all are asked (`Patience`). So objects end where they were given up, most often where
they were made, and their memory goes back to the processor that will want such again. `__del__` and the functions of
`retiring.call` run in the thread: they may sleep, but not wait for a grace period.
Source: P. McKenney and J. Slingwine, "Read-Copy Update: Using Execution History to Solve Concurrency Problems", 1998;
the rest is this kernel's own.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.locking import retiring
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.retired import Retired
from kaa.kernel.sched import core
from kaa.kernel.time.timer_queue import coarse
from kaa.lang import Array, Atomic, cold, fence, inline, rcu_reader, u32, u64

CPUS: Final = 64
AGAIN_NS: Final = 1_000_000
"""Between questions to a processor that was inside."""
BATCH_NS: Final = 8_000_000
"""So long a thread waits for processors to switch tasks by themselves, before it interrupts those that did not."""


class State:
    """Grace periods."""

    turn: Final[Mutex]
    """One at a time."""
    started: Atomic[u64]
    """Grace periods that have begun, under `turn`."""
    finished: Atomic[u64]
    outside: Atomic[u64]
    """Processors that have been seen outside since the last one began."""

    def __init__(self) -> None:
        self.turn = Mutex("rcu grace period")
        self.started = Atomic(0)
        self.finished = Atomic(0)
        self.outside = Atomic(0)


state = State()


@rcu_reader("begin")
@inline
def begin_read() -> None:
    """What Rcu fields are found to hold stays until the matching end_read."""
    machine.percpu.preempt_disable()


@rcu_reader("end")
@inline
def end_read() -> None:
    """After begin_read."""
    machine.percpu.preempt_enable()


@contextmanager
def read() -> Generator[None, None, None]:
    """`with rcu.read():`"""
    begin_read()
    try:
        yield
    finally:
        end_read()


# ---- grace periods ---------------------------------------------------------------------------------------------------


def synchronize() -> None:
    """Return when all readers' sections that were under way have ended. Sleeps. What the caller wrote before is seen by
    all sections that begin later. Callers that wait together share grace periods."""
    fence()
    wanted = state.started.load() + 1  # the one under way, if any, may have begun before what we wrote
    with state.turn:
        if state.finished.load() >= wanted:
            return
        state.started.fetch_add(1)
        _await_all()
        state.finished.fetch_add(1)


def _await_all() -> None:
    """A grace period, under `turn`."""
    machine.percpu.preempt_disable()
    state.outside.store(u64(1) << machine.percpu.cpu_id())
    fence()
    machine.percpu.preempt_enable()
    while True:
        inside = machine.smp.online_mask() & ~state.outside.load()
        if inside == 0:
            return
        _ask(inside)
        if machine.smp.online_mask() & ~state.outside.load() != 0:
            deadline = machine.clock.monotonic_ns() + AGAIN_NS
            core.set_state(machine.percpu.current(), core.UNINTERRUPTIBLE)
            core.schedule_until(deadline)


def _ask(processors: u64) -> None:
    """See which of the processors are outside now. The one that runs this is."""
    machine.percpu.preempt_disable()
    own = u64(1) << machine.percpu.cpu_id()
    state.outside.fetch_or(own)
    machine.smp.call(processors & ~own, _answer, u64(0))
    machine.percpu.preempt_enable()


def _answer(unused: u64) -> None:
    """In an interrupt: what it interrupted is inside a section only if preemption is off there."""
    if machine.percpu.preempt_count() == 0:
        state.outside.fetch_or(u64(1) << machine.percpu.cpu_id())


# ---- what waits for one ----------------------------------------------------------------------------------------------


def flush() -> None:
    """Return when all that was retired before, anywhere, has been given up, and all that this retired. Sleeps."""
    from kaa.kernel.sched import cpu

    again = True
    while again:
        again = False
        for processor in cpu.every():
            if give_up_retired(processor.retired):
                again = True


def run(number: u64) -> None:
    """A processor's thread `rcu`, for ever."""
    from kaa.kernel.sched import cpu, moving

    processor = cpu.get(u32(number))
    assert processor is not None
    moving.set_allowed(machine.percpu.current(), u64(1) << number)
    retired = processor.retired
    patience = Patience()
    while True:
        retired.work.wait_until(lambda: retired.newest.load_relaxed() != 0)
        give_up_retired(retired, patience)


def give_up_retired(retired: Retired, patience: Patience | None = None) -> bool:
    """One batch: all that is in the list now. Says whether that was anything. With `patience` nobody is disturbed if
    that can be helped."""
    with retired.giving:
        first: u64 = retired.newest.exchange(0)
        if first == 0:
            return False
        retiring.mark(first)
        if patience is None or not patience.is_enough():
            synchronize()
        retiring.finish_all(first)
        return True


class Patience:
    """Whether every processor has switched tasks, which it does outside of sections: its run queue's lock, which is
    taken before it counts, orders what was read before. Used by one thread."""

    counts: Array[u64, 64]

    def __init__(self) -> None:
        self.counts = Array[u64, 64]()

    def is_enough(self) -> bool:
        """Wait for a while; says whether each processor that was on before has switched since."""
        online = machine.smp.online_mask()
        for number in range(CPUS):
            self.counts[number] = _switches(number)
        fence()
        core.set_state(machine.percpu.current(), core.UNINTERRUPTIBLE)
        core.schedule_until(coarse(machine.clock.monotonic_ns() + BATCH_NS))
        for number in range(CPUS):
            if (online & (u64(1) << number)) != 0 and _switches(number) == self.counts[number]:
                return False
        fence()
        return True


def _switches(number: u32) -> u64:
    from kaa.kernel.sched import cpu

    processor = cpu.get(number)
    return u64(0) if processor is None else processor.run_queue.switches


def require_threads() -> None:
    """Where sleeping is allowed, once something was retired or will be: see to it that this processor has its thread,
    and each that wants one. Without memory for it, what is retired waits for the next who asks."""
    own = machine.percpu.here()
    if not own.retired.has_thread.load_relaxed():
        retiring.asking.threads_wanted.fetch_or(u64(1) << own.number)
    if retiring.asking.threads_wanted.load_relaxed() != 0:
        _start_threads()


@cold
def _start_threads() -> None:
    from kaa.kernel.sched import cpu

    wanted: u64 = retiring.asking.threads_wanted.exchange(0)
    for processor in cpu.every():
        if wanted & (u64(1) << processor.number) != 0:
            _start_thread(processor.retired, processor.number)


def _start_thread(retired: Retired, number: u32) -> None:
    if not retired.has_thread.exchange(True):
        try:
            core.spawn_kernel_thread(run, u64(number), b"rcu")
        except Exception:
            retired.has_thread.store(False)
