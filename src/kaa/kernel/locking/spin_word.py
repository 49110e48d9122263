# SPDX-License-Identifier: Apache-2.0
"""The word that all spinlocks are made of: one compare-and-exchange to take it, one plain byte store to give it back,
and a fair queue behind it.

Bits 0-7 of the word say whether it is held. Bits 16-31 name the last in the queue, 0 if there is none: a processor
that finds the word not zero puts its own place at the end and then spins on a flag of its own, which the one before it
sets (J. Mellor-Crummey and M. Scott, "Algorithms for Scalable Synchronization on Shared-Memory Multiprocessors", 1991).
So processors are served in order of arrival, and only the first in the queue looks at the word. Who holds the word has
no place in the queue any more; therefore a place is needed only while waiting, and a processor waits for several words
at once only if an interrupt handler waits above a task: LEVELS places each are plenty.

The caller stays on its processor from `take_word` to `give_word`. Giving back stores the low byte alone, so it never
undoes what arriving processors write into the upper half at the same time.

That is for real processors. A virtual one may be taken away by its host at any moment, and in a queue all that stand
behind it wait for it to come back (milliseconds, at every hand-over, when there are more of them than real ones). So on
a virtual machine (machine.running.may_be_absent) whoever finds the word free takes it, and order is left to chance. The
command line may choose: `kaa.spin=queue`, `kaa.spin=chance`.

Order: `take_word` acquires and `give_word` releases. The latter is a plain store on x86-64: a load that follows may
happen before it. Who needs more says so (`fence`, see wait_queue.py).
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.init.command_line import boot_param
from kaa.kernel.locking import record
from kaa.kernel.locking.record import LockRecord
from kaa.lang import Array, Atomic, Bytes, cold, inline, noinline, struct, u32, u64, wrapping_add

HELD: Final = 1
HELD_BYTE: Final = 0xFF
TAIL_SHIFT: Final = 16

CPUS: Final = 64
LEVELS: Final = 4
STRIDE: Final = 16
"""u32s for each processor: a cache line, so that those who spin do not disturb each other."""
GRANTED: Final = LEVELS
DEPTH: Final = 2 * LEVELS
"""Within a processor's line: LEVELS words that name who is next, LEVELS flags, and how many places are in use."""

PATIENCE: Final = 1 << 20
"""Spins between looks at the clock."""
LONGEST_NS: Final = 60_000_000_000
"""Nobody waits for a spinlock that long, not even where a busy host takes processors away: it is waited for by its own
holder, or was never given back."""


class Places:
    """Where processors wait. A place is numbered processor * LEVELS + level + 1."""

    words: Array[Atomic[u32], 1024]
    order: u32
    """What the command line chose; written at boot."""

    def __init__(self) -> None:
        self.words = Array[Atomic[u32], 1024]()
        self.order = 0


places = Places()
BY_QUEUE: Final = 1
BY_CHANCE: Final = 2


@boot_param("kaa.spin")
def _choose(value: Bytes) -> None:
    places.order = u32(BY_QUEUE) if value == b"queue" else u32(BY_CHANCE) if value == b"chance" else u32(0)


def by_chance() -> bool:
    """Whether those who wait for a word take it in no order."""
    if places.order == 0:
        return machine.running.may_be_absent()
    return places.order == BY_CHANCE


@inline
def _line(place: u32) -> u32:
    """The index of the word that says who is behind `place`."""
    return (place - 1) // LEVELS * STRIDE + (place - 1) % LEVELS


@struct
class Watch:
    """How long somebody has been spinning."""

    spins: u64 = 0
    since: u64 = 0

    @inline
    def look(self) -> None:
        """One more spin: a hint to the processor, and now and then a look at the clock."""
        machine.irq.relax()
        self.spins = wrapping_add(self.spins, 1)
        if self.spins & (PATIENCE - 1) == 0:
            self._check()

    @noinline
    @cold
    def _check(self) -> None:
        now = machine.clock.monotonic_ns()
        if self.since == 0:
            self.since = now
        elif now > self.since and now - self.since > LONGEST_NS:
            from kaa.kernel import log

            log.panic(f"a spinlock was not given back for {LONGEST_NS // 1_000_000_000} s")


class SpinWord(LockRecord):
    """A fair spin lock and nothing else: the caller sees to preemption and interrupts."""

    word: Atomic[u32]

    def __init__(self) -> None:
        self.word = Atomic(0)

    @inline
    def take_word(self) -> None:
        """Take the word; spins while another processor has it."""
        if not self.word.compare_exchange(0, HELD):
            self.queue_up()

    @inline
    def try_take_word(self) -> bool:
        """Take the word if it is free and nobody waits; True if it was."""
        return self.word.compare_exchange(0, HELD)

    @inline
    def give_word(self) -> None:
        """Give the word back. The object may be gone as soon as this is done: the next holder may free it."""
        self.word.store_release_low(0)

    def is_held(self) -> bool:
        """Whether some processor has it: for assertions."""
        return self.word.load_relaxed() & HELD_BYTE != 0

    @noinline
    @cold
    def wait_for_word(self) -> None:
        """queue_up, for the lock's record too."""
        began = record.begin_wait()
        self.queue_up()
        record.end_wait(self, began)

    @noinline
    @cold
    def queue_up(self) -> None:
        """Wait for the word and take it. The caller stays on its processor, and interrupts that come meanwhile do not
        want this word."""
        if by_chance():
            self._grab()
        else:
            self._stand_in_queue()

    def _grab(self) -> None:
        watch = Watch()
        while self.word.load_relaxed() != 0 or not self.word.compare_exchange(0, HELD):
            watch.look()

    def _stand_in_queue(self) -> None:
        base = machine.percpu.cpu_id() * STRIDE
        level = places.words[base + DEPTH].load_relaxed()
        assert level < LEVELS, "a processor waits for too many spinlocks at once"
        places.words[base + DEPTH].store_relaxed(level + 1)
        place = machine.percpu.cpu_id() * LEVELS + level + 1
        places.words[base + level].store_relaxed(0)
        places.words[base + level + GRANTED].store_relaxed(0)
        previous = self._append(place)
        if previous != 0:
            places.words[_line(previous)].store_release(place)
            watch = Watch()
            while places.words[base + level + GRANTED].load_acquire() == 0:
                watch.look()
        self._take_as_first(place, base + level)
        places.words[base + DEPTH].store_relaxed(level)

    @inline
    def _append(self, place: u32) -> u32:
        """Become the last in the queue; gives who was it before. Publishes the place's cleared words."""
        while True:
            seen = self.word.load_relaxed()
            if self.word.compare_exchange(seen, seen & HELD_BYTE | place << TAIL_SHIFT):
                return seen >> TAIL_SHIFT

    @inline
    def _take_as_first(self, place: u32, line: u32) -> None:
        """First in the queue: wait for the holder, take the word, let the next one be first."""
        watch = Watch()
        while True:
            seen = self.word.load_acquire()
            if seen & HELD_BYTE != 0:
                watch.look()
            elif seen >> TAIL_SHIFT != place:
                # Others are behind. With a queue only its first takes the word, so it is ours.
                self.word.fetch_or(HELD)
                break
            elif self.word.compare_exchange(seen, HELD):
                return
        while places.words[line].load_acquire() == 0:  # it has appended itself and is about to tell us
            machine.irq.relax()
        places.words[_line(places.words[line].load_relaxed()) + GRANTED].store_release(1)
