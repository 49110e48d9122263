# SPDX-License-Identifier: Apache-2.0
"""Kernel threads that hammer each kind of lock and check what it promises: `kaa.stress=locks[:SEED[:ROUNDS]]` on the
command line runs them late in the boot, one line of the log per kind; a promise that is broken is a panic.

Two threads for each processor run. What each does next comes from a generator that is seeded with SEED and the thread's
number, so a run under -icount repeats exactly. Every section changes or reads two numbers that are equal whenever the
lock's promise holds, with a pause of random length between the two; the totals at the end tell of lost sections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kaa.kernel import log
from kaa.kernel.arch import machine
from kaa.kernel.init.command_line import boot_param, number
from kaa.kernel.lib.per_cpu_counter import PerCpuCounter
from kaa.kernel.locking import rcu
from kaa.kernel.locking.completion import Completion
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.rwsem import RwSem
from kaa.kernel.locking.seqlock import SeqLock
from kaa.kernel.locking.spinlock import IrqSpinLock, LeafLock, SpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.kernel.sched import core
from kaa.kernel.sched.work_queue import DelayedWork, WorkQueue
from kaa.kernel.time import timer
from kaa.lang import Atomic, Bytes, LateEnd, Rcu, RcuHead, noinline, popcount, u64, wrapping_mul

MOST_THREADS: Final = 64
NAP_NS: Final = 50_000


class Choices:
    """What the command line asked for."""

    wanted: bool = False
    seed: u64 = 1
    rounds: u64 = 2000


choices = Choices()


class Pair:
    """Two numbers, equal unless somebody is in between: to see to that is the locks' part, each is atomic by itself."""

    first: Atomic[u64]
    second: Atomic[u64]

    def __init__(self) -> None:
        self.first = Atomic(0)
        self.second = Atomic(0)


class Table(RcuHead):
    """What the Rcu field refers to: zeroed when it goes, so that who reads it too late sees that."""

    value: u64
    same: u64

    def __init__(self, value: u64) -> None:
        super().__init__()
        self.value = value
        self.same = value

    def __del__(self) -> None:
        self.value = u64(0)
        self.same = u64(1)
        arena.tables_gone.fetch_add(1)


class Guest(LateEnd):
    """Whose end takes a mutex."""

    def __del__(self) -> None:
        with arena.mutex:
            arena.guests_gone.fetch_add(1)


class Place:
    """Where a guest stays."""

    guest: Guest | None = None


class Chore(DelayedWork):
    """A work that counts."""

    def run(self) -> None:
        write_pair(u64(0x700000))


class Arena:
    """The locks, what they guard, and how far the threads are."""

    spin: Final[SpinLock]
    irq: Final[IrqSpinLock]
    leaf: Final[LeafLock]
    mutex: Final[Mutex]
    sem: Final[RwSem]
    seq: Final[SeqLock]
    pair: Final[Pair]
    table: Rcu[Table | None]
    tables_gone: Atomic[u64]
    guests_gone: Atomic[u64]
    counter: Final[PerCpuCounter]
    tokens: Final[WaitQueue]
    token: Atomic[u64]
    """Whose turn it is."""
    works: WorkQueue | None
    threads: u64
    sections: Atomic[u64]
    """Writing sections that were gone through."""
    running: Atomic[u64]
    done: Completion
    test: Callable[[u64, u64], u64] | None

    def __init__(self) -> None:
        self.spin = SpinLock("stress spin")
        self.irq = IrqSpinLock("stress irq")
        self.leaf = LeafLock("stress leaf")
        self.mutex = Mutex("stress mutex")
        self.sem = RwSem("stress rwsem")
        self.seq = SeqLock("stress seqlock")
        self.pair = Pair()
        self.table = None
        self.tables_gone = Atomic(0)
        self.guests_gone = Atomic(0)
        self.counter = PerCpuCounter()
        self.tokens = WaitQueue("stress tokens")
        self.token = Atomic(0)
        self.works = None
        self.threads = 0
        self.sections = Atomic(0)
        self.running = Atomic(0)
        self.done = Completion("stress")
        self.test = None


arena = Arena()


@boot_param("kaa.stress")
def _choose(value: Bytes) -> None:
    if not value.startswith(b"locks"):
        log.warn(f"kaa.stress={value}: there is locks")
        return
    choices.wanted = True
    if len(value) > 6:
        rest = value[6:]
        split = rest.find(0x3A)
        choices.seed = u64(number(rest if split < 0 else rest[0:split]))
        if split >= 0:
            choices.rounds = u64(number(rest[split + 1 :]))


def following(random: u64) -> u64:
    """The next of a sequence of numbers (G. Marsaglia, "Xorshift RNGs", 2003), never 0."""
    x = random
    x ^= (x & 0x7_FFFF_FFFF_FFFF) << 13
    x ^= x >> 7
    x ^= (x & 0x7FFF_FFFF_FFFF) << 17
    return x


@noinline
def dawdle(random: u64) -> None:
    """A pause of up to some hundred cycles."""
    for _ in range(random >> 20 & 31):
        machine.irq.relax()


@noinline
def write_pair(random: u64) -> None:
    """Alone: change both numbers."""
    pair = arena.pair
    assert pair.first.load_relaxed() == pair.second.load_relaxed(), "two are inside"
    pair.first.store_relaxed(pair.first.load_relaxed() + 1)
    dawdle(random)
    assert pair.first.load_relaxed() == pair.second.load_relaxed() + 1, "somebody else came in"
    pair.second.store_relaxed(pair.second.load_relaxed() + 1)
    arena.sections.fetch_add(1)


@noinline
def read_pair(random: u64) -> None:
    """Without writers: both numbers are equal."""
    first = arena.pair.first.load_relaxed()
    dawdle(random)
    assert first == arena.pair.second.load_relaxed(), "a writer is inside"


def nap(random: u64) -> None:
    """Let others run: now and then for a while, asleep."""
    if random & 7 == 0:
        core.yield_now()
    elif random & 255 == 1:
        timer.sleep_until(machine.clock.monotonic_ns() + NAP_NS)


def try_spin(round: u64, random: u64) -> u64:
    """SpinLock, sometimes only if it is free."""
    if random & 3 == 0:
        if arena.spin.try_acquire():
            write_pair(random)
            arena.spin.release()
    else:
        with arena.spin:
            write_pair(random)
    nap(random)
    return random


def try_irq(round: u64, random: u64) -> u64:
    """IrqSpinLock, taken with interrupts on and off."""
    if random & 1 == 0:
        with arena.irq:
            assert not machine.irq.enabled()
            write_pair(random)
    else:
        flags = machine.irq.save()
        with arena.irq:
            write_pair(random)
        assert not machine.irq.enabled(), "releasing the lock switched interrupts on"
        machine.irq.restore(flags)
    nap(random)
    return random


def try_leaf(round: u64, random: u64) -> u64:
    """LeafLock."""
    arena.leaf.acquire()
    write_pair(random)
    arena.leaf.release()
    nap(random)
    return random


def try_mutex(round: u64, random: u64) -> u64:
    """Mutex, with naps inside."""
    if random & 7 == 0:
        if arena.mutex.try_acquire():
            write_pair(random)
            arena.mutex.release()
    else:
        with arena.mutex:
            nap(random >> 8)
            write_pair(random)
    return random


def try_rwsem(round: u64, random: u64) -> u64:
    """RwSem: three readers for each writer, some of which become readers."""
    if random & 19 == 16:
        arena.sem.acquire_write()
        write_pair(random)
        arena.sem.begin_downgrade()
        arena.sem.end_downgrade()
        nap(random >> 8)
        read_pair(random)
        arena.sem.release_read()
    elif random & 3 == 0:
        with arena.sem.write():
            nap(random >> 8)
            write_pair(random)
    elif random & 12 == 4:
        if arena.sem.try_read():
            read_pair(random)
            arena.sem.release_read()
    else:
        with arena.sem.read():
            nap(random >> 8)
            read_pair(random)
    return random


def try_seqlock(round: u64, random: u64) -> u64:
    """SeqLock: readers that see no writer see equal numbers."""
    if random & 7 == 0:
        with arena.seq.write():
            write_pair(random)
        return random
    while True:
        start = arena.seq.begin()
        first = arena.pair.first.load_relaxed()
        dawdle(random)
        second = arena.pair.second.load_relaxed()
        if not arena.seq.changed(start):
            break
    assert first == second, "a reader believed what a writer was changing"
    nap(random)
    return random


def try_rcu(round: u64, random: u64) -> u64:
    """An Rcu field: what is read lasts as long as the section, whoever replaces it."""
    if random & 15 == 0:
        try:
            arena.table = Table(random | 1)
        except MemoryError:
            return random
        arena.sections.fetch_add(1)
        if random & 1023 == 16:
            rcu.synchronize()
        return random
    with rcu.read():
        table = arena.table
        if table is not None:
            value = table.value
            dawdle(random)
            assert value == table.same and value == table.value, "an object went while it was read"
    nap(random)
    return random


def try_late_end(round: u64, random: u64) -> u64:
    """LateEnd: an object whose end sleeps lets go of its mutex only after the spinlock under which its last reference
    went."""
    place = Place()
    try:
        place.guest = Guest()
    except MemoryError:
        return random
    arena.sections.fetch_add(1)
    if random & 1 == 0:
        with arena.spin:
            place.guest = None
            dawdle(random)
    else:
        place.guest = None
    return random


def try_wait_queue(round: u64, random: u64) -> u64:
    """A token goes round; each waits for it. A lost wake-up is a hang."""
    own = random & 63
    arena.tokens.wait_until(lambda: arena.token.load() % arena.threads == own)
    arena.sections.fetch_add(1)
    arena.token.fetch_add(1)
    arena.tokens.wake_all()
    return random


def try_work_queue(round: u64, random: u64) -> u64:
    """A queue with one worker, which alone writes; each work is waited for, or taken out and done by hand later."""
    works = arena.works
    assert works is not None
    try:
        chore = Chore()
    except MemoryError:
        return random
    if random & 3 == 0:
        chore.add_after(works, random >> 8 & 0xFFFF)
        chore.cancel_delayed()
    elif random & 3 == 1:
        works.add(chore)
        if works.cancel_and_wait(chore):
            assert not chore.waits.load(), "it was taken out, and waits"
    else:
        before = arena.sections.load()
        works.add(chore)
        works.flush()
        assert arena.sections.load() > before, "a flush did not wait"
    nap(random >> 8)
    return random


def try_counter(round: u64, random: u64) -> u64:
    """PerCpuCounter: nothing is lost."""
    arena.counter.add(1)
    arena.sections.fetch_add(1)
    nap(random)
    return random


def work(own: u64) -> None:
    """A thread of one test."""
    test = arena.test
    assert test is not None
    random = following(wrapping_mul(choices.seed + own + 1, u64(0x9E37_79B9_7F4A_7C15)) | 1)
    rounds = choices.rounds if test is not try_wait_queue else choices.rounds // 20
    for round in range(rounds):
        random = following(random)
        if test is try_wait_queue:
            try_wait_queue(round, own)
        else:
            test(round, random)
    if arena.running.fetch_sub(1) == 1:
        arena.done.complete()


def run(name: str, test: Callable[[u64, u64], u64]) -> None:
    """One test with all its threads. Raises MemoryError, OSError(EAGAIN)."""
    arena.test = test
    arena.pair.first.store(0)
    arena.pair.second.store(0)
    arena.sections.store(0)
    arena.token.store(0)
    arena.done = Completion("stress")
    arena.running.store(arena.threads)
    began = machine.clock.monotonic_ns()
    for own in range(arena.threads):
        core.spawn_kernel_thread(work, own, b"stress")
    arena.done.wait()
    took = (machine.clock.monotonic_ns() - began) // 1_000_000
    log.info(f"kaa.stress: {name}: {arena.sections.load()} sections by {arena.threads} threads in {took} ms")


def check_totals(name: str) -> None:
    """Both numbers were raised as often as sections were gone through."""
    first, second = arena.pair.first.load(), arena.pair.second.load()
    assert first == arena.sections.load() and second == first, "sections were lost"


def run_all() -> None:
    """All kinds, one after the other."""
    arena.threads = min(2 * u64(popcount(machine.smp.online_mask())), MOST_THREADS)
    run("spinlock", try_spin)
    check_totals("spinlock")
    run("irq spinlock", try_irq)
    check_totals("irq spinlock")
    run("leaf lock", try_leaf)
    check_totals("leaf lock")
    run("mutex", try_mutex)
    check_totals("mutex")
    run("rwsem", try_rwsem)
    check_totals("rwsem")
    run("seqlock", try_seqlock)
    check_totals("seqlock")
    run_rcu()
    run("late end", try_late_end)
    rcu.flush()
    assert arena.guests_gone.load() == arena.sections.load(), "an object whose end was put off has not ended"
    run("wait queue", try_wait_queue)
    assert arena.token.load() == arena.sections.load(), "a turn was lost"
    works = WorkQueue("stress works")
    works.start()
    arena.works = works
    run("work queue", try_work_queue)
    works.flush()
    check_totals("work queue")
    run("per-processor counter", try_counter)
    assert u64(arena.counter.sum()) == arena.sections.load(), "a count was lost"
    log.info(f"kaa.stress: all kinds of locks hold, seed {choices.seed}")


def run_rcu() -> None:
    """And then every table that was replaced must go."""
    arena.tables_gone.store(0)
    run("rcu", try_rcu)
    arena.table = None
    rcu.require_threads()  # as a thread that goes on, and not to user mode
    deadline = machine.clock.monotonic_ns() + 5_000_000_000
    while arena.tables_gone.load() != arena.sections.load():
        assert machine.clock.monotonic_ns() < deadline, "retired objects do not go"
        timer.sleep_until(machine.clock.monotonic_ns() + NAP_NS)


def check() -> None:
    """What the command line asked for. The boot calls this just before it starts pid 1."""
    if not choices.wanted:
        return
    try:
        run_all()
    except MemoryError:
        log.error("kaa.stress: not enough memory")
    except OSError as error:
        log.error(f"kaa.stress: no threads: error {error.errno}")
