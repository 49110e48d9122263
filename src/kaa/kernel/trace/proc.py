# SPDX-License-Identifier: Apache-2.0
"""/proc/kaa/locks (kernels built with KAA_LOCK_STATS only) and /proc/kaa/sched, as text for the host.

locks: a line `cycles_per_second N`, then one per class: name, acquisitions, contentions, cycles waited, longest wait,
cycles held, longest hold, separated by tabs. sched: one line per event, oldest first for each processor: processor,
time in ns, kind (switch, wake, move), task, other, state, name, separated by tabs. Reading it ends the trace.
"""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.kernel.fs.proc.tree import tree
from kaa.kernel.fs.text import TextBuffer
from kaa.kernel.locking import record
from kaa.kernel.trace import lock_counts, sched_trace
from kaa.kernel.trace.lock_counts import ACQUIRED, LONGEST_HOLD, classes
from kaa.kernel.trace.sched_trace import EVENTS, MOVE, PID_MASK, SWITCH, WORDS, Ring, recorder
from kaa.lang import Array, u8, u32, u64
from kaa.lang.flavour import LOCK_STATS

TAB, NEWLINE = 9, 10


def show_locks(out: TextBuffer) -> None:
    """All classes of which a lock was ever taken."""
    out.add(b"cycles_per_second ")
    out.decimal(machine.clock.state.tsc_hz.load_relaxed())
    out.byte(NEWLINE)
    for number in range(classes.count):
        if classes.total(u32(number), u32(ACQUIRED)) != 0:
            _show_class(out, u32(number))


def _show_class(out: TextBuffer, number: u32) -> None:
    if number == 0:
        out.add(b"(unnamed)")
    else:
        out.add(classes.name_of(number))
    for cell in range(LONGEST_HOLD + 1):
        out.byte(TAB)
        out.decimal(classes.total(number, u32(cell)))
    out.byte(NEWLINE)


def show_sched(out: TextBuffer) -> None:
    """All rings, one after the other."""
    sched_trace.stop()
    for number in range(lock_counts.CPUS):
        ring = recorder.rings[number]
        if ring is not None:
            _show_ring(out, ring, u64(number))


def _show_ring(out: TextBuffer, ring: Ring, processor: u64) -> None:
    end = ring.count()
    event: u64 = end - EVENTS if end > EVENTS else u64(0)
    row = Array[u64, WORDS]()
    while event < end:
        ring.read(event, row[:])
        out.decimal(processor)
        out.byte(TAB)
        out.decimal(row[0])
        _show_packed(out, row[1])
        _show_half(out, row[2])
        _show_half(out, row[3])
        out.byte(NEWLINE)
        event += 1


def _show_packed(out: TextBuffer, packed: u64) -> None:
    kind = packed & 15
    out.add(b"\tswitch\t" if kind == SWITCH else b"\tmove\t" if kind == MOVE else b"\twake\t")
    out.decimal(packed >> sched_trace.PID_SHIFT & PID_MASK)
    out.byte(TAB)
    out.decimal(packed >> sched_trace.OTHER_SHIFT & PID_MASK)
    out.byte(TAB)
    out.decimal(packed >> sched_trace.STATE_SHIFT & 0xFF)
    out.byte(TAB)


def _show_half(out: TextBuffer, half: u64) -> None:
    """Eight bytes of a name, up to its end; what would break the line is shown as a question mark."""
    rest = half
    while rest & 0xFF != 0:
        byte = u8(rest & 0xFF)
        out.byte(byte if byte >= 32 and byte < 127 else u8(63))
        rest >>= 8


if LOCK_STATS:
    record.named = lock_counts.named
    tree.file("kaa/locks", show_locks)
tree.file("kaa/sched", show_sched)
