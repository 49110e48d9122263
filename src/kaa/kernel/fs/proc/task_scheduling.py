# SPDX-License-Identifier: Apache-2.0
"""What /proc/PID tells of a thread's scheduling: sched, schedstat, and the scheduler's fields of stat and status.

The run queue's fields are read without its lock: each is one word, and they need not agree with one another."""

from __future__ import annotations

from kaa.kernel.fs.sysfs.processors import show_list, show_mask
from kaa.kernel.fs.text import TextBuffer
from kaa.kernel.process.task import Task, program_name
from kaa.kernel.sched import core, links
from kaa.lang import Bytes, i64, u64

MILLISECOND = 1_000_000
NEWLINE = 10
SPACE = 32
NAME_WIDTH = 45
NUMBER_WIDTH = 21


def priority(task: Task) -> i64:
    """stat's field 18: 20 + nice, or for real-time tasks minus one minus the priority (proc_pid_stat(5))."""
    own = task.own_priority
    return i64(20) + i64(task.nice) if own == 0 else i64(-1) - i64(own)


def processor(task: Task) -> i64:
    """stat's field 39: where it runs, or ran last."""
    return i64(links.queue_of(task).number)


def show_allowed(out: TextBuffer, task: Task) -> None:
    """status's Cpus_allowed and Cpus_allowed_list."""
    mask = core.allowed_processors(task)
    out.add(b"Cpus_allowed:\t")
    show_mask(out, mask)
    out.add(b"Cpus_allowed_list:\t")
    show_list(out, mask)


def show_schedstat(out: TextBuffer, task: Task) -> None:
    """/proc/PID/schedstat: ns run, ns waited for a processor, turns."""
    out.decimal(core.run_time(task))
    out.byte(SPACE)
    out.decimal(task.waited_ns)
    out.byte(SPACE)
    out.decimal(task.voluntary_switches + task.involuntary_switches)
    out.byte(NEWLINE)


def show_sched(out: TextBuffer, task: Task) -> None:
    """/proc/PID/sched: names and numbers, times in ms. As readable as Linux's, and as little of an interface."""
    name = program_name(task)
    out.add(name.text())
    out.add(b" (")
    out.decimal(u64(task.pid))
    out.add(b", #threads: ")
    out.decimal(u64(task.group.thread_count))
    out.add(b")\n-------------------------------------------------------------------\n")
    started, vruntime, deadline, weight = core.standing(task)
    _time(out, b"se.exec_start", started)
    _time(out, b"se.vruntime", vruntime)
    _time(out, b"se.deadline", deadline)
    _time(out, b"se.sum_exec_runtime", core.run_time(task))
    _time(out, b"se.slice", task.slice_ns)
    _time(out, b"wait_sum", task.waited_ns)
    _count(out, b"se.nr_migrations", task.migrations)
    _count(out, b"nr_switches", task.voluntary_switches + task.involuntary_switches)
    _count(out, b"nr_voluntary_switches", task.voluntary_switches)
    _count(out, b"nr_involuntary_switches", task.involuntary_switches)
    _count(out, b"se.load.weight", weight)
    _count(out, b"policy", u64(task.policy))
    _count(out, b"prio", u64(99 - task.rt_priority) if task.rt_priority != 0 else u64(120 + i64(task.nice)))


def _name(out: TextBuffer, name: Bytes) -> None:
    out.add(name)
    for _ in range(NAME_WIDTH - min(len(name), NAME_WIDTH)):
        out.byte(SPACE)
    out.byte(0x3A)


def _count(out: TextBuffer, name: Bytes, value: u64) -> None:
    _name(out, name)
    out.decimal(value, NUMBER_WIDTH)
    out.byte(NEWLINE)


def _time(out: TextBuffer, name: Bytes, ns: u64) -> None:
    _name(out, name)
    out.decimal(ns // MILLISECOND, NUMBER_WIDTH - 7)
    out.byte(0x2E)
    rest = ns % MILLISECOND
    digit: u64 = u64(MILLISECOND // 10)
    while digit != 0:
        out.decimal(rest // digit % 10)
        digit //= 10
    out.byte(NEWLINE)
