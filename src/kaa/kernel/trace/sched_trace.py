# SPDX-License-Identifier: Apache-2.0
"""Who ran where when: a ring of events for each processor, newest over oldest.

An event is four words: the time (monotonic ns); the kind, a task, another number and a state, packed; and the task's
name. A processor writes its own ring only, with interrupts off, so nothing interrupts a write. While nobody traces,
all this costs a load and a branch in each switch. The rings are made when tracing starts and kept for ever.

Reading needs `stop` first, which waits until no processor is in the middle of an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel import log
from kaa.kernel.arch import machine
from kaa.kernel.init.command_line import boot_param
from kaa.lang import Array, Atomic, Bytes, PerCpu, Slice, cold, inline, noinline, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

EVENTS: Final = 8192
"""In each ring; a power of two."""
WORDS: Final = 4
SWITCH: Final = 1
"""A task gives the processor (its state says why) to another, which is `other`; the name is the other's."""
WAKE: Final = 2
"""A task wants to run from now on; `other` is the number of the processor it waits at."""
MOVE: Final = 3
"""A task that wants to run was taken to processor `other`."""
PID_SHIFT: Final = 4
OTHER_SHIFT: Final = 28
STATE_SHIFT: Final = 52
PID_MASK: Final = 0xFF_FFFF


class Ring:
    """One processor's events. `written` counts all that were ever written. Others look when nobody writes any more."""

    words: PerCpu[list[u64]]
    written: PerCpu[u64]

    def __init__(self) -> None:
        self.words = []
        self.written = 0
        for _ in range(EVENTS * WORDS):
            self.words.append(0)

    def write(self, packed: u64, task: Task) -> None:
        """One event, now. Interrupts are off."""
        at = self.written % EVENTS * WORDS
        self.written += 1
        self.words[at] = machine.clock.monotonic_ns()
        self.words[at + 1] = packed
        self.words[at + 2] = task.name_low
        self.words[at + 3] = task.name_high


    def count(self) -> u64:
        """How many events were ever written. After `stop`."""
        machine.percpu.preempt_disable()
        found = self.written
        machine.percpu.preempt_enable()
        return found

    def read(self, event: u64, into: Slice[u64]) -> None:
        """The words of an event, by its number. After `stop`."""
        machine.percpu.preempt_disable()
        for word in range(WORDS):
            into[word] = self.words[event % EVENTS * WORDS + word]
        machine.percpu.preempt_enable()



class Recorder:
    """The rings, by processor, and whether anything is written."""

    on: Atomic[bool]
    wanted: bool
    rings: Array[Ring | None, 64]

    def __init__(self) -> None:
        self.on = Atomic(False)
        self.wanted = False
        self.rings = Array[Ring | None, 64]()


recorder = Recorder()


@boot_param("kaa.trace")
def _choose(value: Bytes) -> None:
    recorder.wanted = value == b"sched"


def start() -> None:
    """If the command line wants it: make the rings of the processors that run, and begin."""
    if not recorder.wanted:
        return
    try:
        for number in range(64):
            if machine.smp.online_mask() >> number & 1 != 0:
                recorder.rings[number] = Ring()
    except MemoryError:
        log.error("kaa.trace: not enough memory for all processors")
    recorder.on.store(True)


def stop() -> None:
    """No more events, and none is being written when this returns: an event is written with interrupts off."""
    recorder.on.store(False)
    machine.smp.interrupt(machine.smp.online_mask())


@inline
def switched(previous: Task, following: Task) -> None:
    """The processor goes from one task to another. Interrupts are off."""
    if recorder.on.load_relaxed():
        _write(SWITCH, u32(previous.pid), u32(following.pid), previous.state.load_relaxed(), following)


@inline
def woken(task: Task, processor: u32) -> None:
    """A task wants to run, at that processor. Interrupts are off."""
    if recorder.on.load_relaxed():
        _write(WAKE, u32(task.pid), processor, u64(0), task)


@inline
def moved(task: Task, processor: u32) -> None:
    """A task that wants to run goes to that processor. Interrupts are off."""
    if recorder.on.load_relaxed():
        _write(MOVE, u32(task.pid), processor, u64(0), task)


@noinline
@cold
def _write(kind: u64, pid: u32, other: u32, state: u64, named: Task) -> None:
    ring = recorder.rings[machine.percpu.cpu_id()]
    if ring is not None:
        packed = kind | u64(pid & PID_MASK) << PID_SHIFT | u64(other & PID_MASK) << OTHER_SHIFT
        ring.write(packed | (state & 0xFF) << STATE_SHIFT, named)
