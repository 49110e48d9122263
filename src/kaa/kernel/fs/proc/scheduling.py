# SPDX-License-Identifier: Apache-2.0
"""Files of /proc that show what processors do: stat, uptime, loadavg, schedstat. Formats: proc(5), proc_stat(5),
proc_loadavg(5); schedstat is laid out as its version 15, without the lines of domains, which there are none of."""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.kernel.arch.sums import STARTED
from kaa.kernel.fs.proc.tree import tree
from kaa.kernel.fs.text import TextBuffer
from kaa.kernel.process import accounting, ids
from kaa.kernel.process import pid as pids
from kaa.kernel.sched import counts, cpu, load
from kaa.lang import u32, u64

SECOND = 1_000_000_000
SPACE = 32
NEWLINE = 10
DOT = 0x2E
ZERO = 0x30
VECTORS = 256


def _times(out: TextBuffer, times: counts.Times) -> None:
    """The columns of a processor: user, nice, system, idle, and six that are not kept."""
    out.decimal(accounting.ticks(times.user))
    out.byte(SPACE)
    out.decimal(accounting.ticks(times.nice))
    out.byte(SPACE)
    out.decimal(accounting.ticks(times.system))
    out.byte(SPACE)
    out.decimal(accounting.ticks(times.idle))
    out.add(b" 0 0 0 0 0 0\n")


def _interrupts() -> u64:
    """Interrupts of all kinds that came to all processors."""
    total: u64 = u64(0)
    for found in cpu.every():
        for vector in range(VECTORS):
            total += machine.percpu.interrupt_count(found.number, u32(vector))
    return total


def show_stat(out: TextBuffer) -> None:
    """/proc/stat."""
    now = u64(machine.clock.monotonic_ns())
    out.add(b"cpu  ")
    _times(out, counts.all_times(now))
    for found in cpu.every():
        if counts.is_active(found.number):
            out.add(b"cpu")
            out.decimal(u64(found.number))
            out.byte(SPACE)
            _times(out, counts.times(found, now))
    out.add(b"intr ")
    out.decimal(_interrupts())
    out.add(b"\nctxt ")
    out.decimal(counts.switches())
    out.add(b"\nbtime ")
    out.decimal((u64(machine.clock.realtime_ns()) - now) // SECOND)
    out.add(b"\nprocesses ")
    out.decimal(machine.percpu.total(STARTED))
    out.add(b"\nprocs_running ")
    out.decimal(load.runnable())
    out.add(b"\nprocs_blocked ")
    out.decimal(load.blocked())
    out.byte(NEWLINE)


def hundredths(out: TextBuffer, ns: u64) -> None:
    """Seconds with two decimals."""
    out.decimal(ns // SECOND)
    out.byte(DOT)
    _two_digits(out, ns % SECOND // 10_000_000)


def _two_digits(out: TextBuffer, number: u64) -> None:
    if number < 10:
        out.byte(ZERO)
    out.decimal(number)


def show_uptime(out: TextBuffer) -> None:
    """/proc/uptime: since boot, and idle, summed over all processors."""
    now = u64(machine.clock.monotonic_ns())
    hundredths(out, now)
    out.byte(SPACE)
    hundredths(out, counts.all_times(now).idle)
    out.byte(NEWLINE)


def show_loadavg(out: TextBuffer) -> None:
    """/proc/loadavg: the three averages; running and existing tasks; the number given to a task last."""
    now = u64(machine.clock.monotonic_ns())
    for index in range(3):
        average = load.average(u64(index), now)
        out.decimal(average >> load.SHIFT)
        out.byte(DOT)
        _two_digits(out, (average & (load.ONE - 1)) * 100 >> load.SHIFT)
        out.byte(SPACE)
    out.decimal(load.runnable())
    out.byte(0x2F)
    count: u64 = u64(0)
    task = ids.next_task(0)
    while task is not None:
        count += 1
        task = ids.next_task(task.pid)
    out.decimal(count)
    out.byte(SPACE)
    with pids.table:
        last = pids.table.last
    out.decimal(u64(last))
    out.byte(NEWLINE)


def show_schedstat(out: TextBuffer) -> None:
    """/proc/schedstat: per processor: yields, 0, switches, of these to idle, wake-ups that it did, of these into its
    own queue, ns run, ns that those who ran had waited, turns. A switch is a change of the task that runs."""
    now = u64(machine.clock.monotonic_ns())
    out.add(b"version 15\ntimestamp ")
    out.decimal(accounting.ticks(now))
    out.byte(NEWLINE)
    for found in cpu.every():
        if counts.is_active(found.number):
            out.add(b"cpu")
            out.decimal(u64(found.number))
            _schedstat_row(out, found, now)


def _schedstat_row(out: TextBuffer, of: cpu.Cpu, now: u64) -> None:
    queue = of.run_queue
    idle = queue.idle_switches  # read first: never more than the switches
    switches = queue.switches
    own = queue.own_wakes
    _column(out, queue.yields)
    _column(out, u64(0))
    _column(out, switches)
    _column(out, idle)
    _column(out, queue.wakes)
    _column(out, own)
    _column(out, now - counts.idle_ns(of, now))
    _column(out, queue.waited_ns)
    _column(out, switches - idle)
    out.byte(NEWLINE)


def _column(out: TextBuffer, number: u64) -> None:
    out.byte(SPACE)
    out.decimal(number)


tree.file("stat", show_stat)
tree.file("uptime", show_uptime)
tree.file("loadavg", show_loadavg)
tree.file("schedstat", show_schedstat)
