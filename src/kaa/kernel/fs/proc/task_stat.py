# SPDX-License-Identifier: Apache-2.0
"""/proc/PID/stat: numbers in a row, by their places in proc(5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.fs.proc import task_scheduling
from kaa.kernel.fs.proc.task_files import caught
from kaa.kernel.process import accounting, foreign, tree
from kaa.kernel.process.task import program_name
from kaa.lang import Array, i64, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.text import TextBuffer
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.process.group import ThreadGroup
    from kaa.kernel.process.task import Task

FIRST = 4
"""The first that is a number: the process id, the name and the state's letter come before."""
END = 53
RESIDENT_LIMIT = 25
"""The one that has no sign."""
OLD_SIGNALS = 0x7FFFFFFF
"""Those that fit there: the real ones are in /proc/PID/status."""


def show_stat(out: TextBuffer, task: Task) -> None:
    """/proc/PID/stat: 52 fields. Those that nobody fills in are 0."""
    values = Array[i64, END]()
    _family(values, task.group)
    _usage(values, task.group)
    _scheduling(values, task)
    _signals(values, task)
    mm = foreign.memory_of(task)
    if mm is not None:
        _places(values, mm)
    name = program_name(task)
    out.decimal(u64(task.pid))
    out.add(b" (")
    out.add(name.text())
    out.add(b") ")
    out.byte(accounting.state_letter(task))
    for number in range(FIRST, END):
        out.byte(32)
        if number == RESIDENT_LIMIT:
            out.decimal(u64(values[number]))
        else:
            out.signed(values[number])
    out.byte(10)


def _family(values: Array[i64, END], group: ThreadGroup) -> None:
    with tree.lock:
        tty = group.tty
    values[4] = i64(group.parent_id)
    values[5] = i64(group.group_id)
    values[6] = i64(group.session_id)
    values[7] = i64(0) if tty is None else i64(tty.device)
    values[8] = -1
    values[9] = 0x400000


def _usage(values: Array[i64, END], group: ThreadGroup) -> None:
    used = accounting.group_usage(group)
    children = accounting.children_usage(group)
    values[10] = i64(used.minor_faults)
    values[11] = i64(children.minor_faults)
    values[12] = i64(used.major_faults)
    values[13] = i64(children.major_faults)
    values[14] = i64(accounting.ticks(used.user_ns))
    values[15] = i64(accounting.ticks(used.system_ns))
    values[16] = i64(accounting.ticks(children.user_ns))
    values[17] = i64(accounting.ticks(children.system_ns))
    values[20] = i64(group.thread_count)
    values[22] = i64(accounting.ticks(group.start_time))
    values[RESIDENT_LIMIT] = i64(group.limits.soft[5].load_relaxed())


def _scheduling(values: Array[i64, END], task: Task) -> None:
    values[18] = task_scheduling.priority(task)
    values[19] = i64(task.nice)
    values[38] = i64(task.exit_signal)
    values[39] = task_scheduling.processor(task)
    values[40] = i64(task.own_priority)
    values[41] = i64(task.own_policy)
    values[52] = i64(task.exit_code)


def _signals(values: Array[i64, END], task: Task) -> None:
    group = task.group
    with group.signal_lock:
        values[31] = i64(task.pending.mask & OLD_SIGNALS)
        values[32] = i64(task.blocked & OLD_SIGNALS)
        values[33] = i64(group.handlers.ignored & OLD_SIGNALS)
        values[34] = i64(caught(group.handlers) & OLD_SIGNALS)


def _places(values: Array[i64, END], mm: AddressSpace) -> None:
    values[23] = i64(mm.total_pages) * 4096
    values[24] = i64(mm.resident_pages())
    values[26] = i64(mm.start_code)
    values[27] = i64(mm.end_code)
    values[28] = i64(mm.start_stack)
    values[45] = i64(mm.start_data)
    values[46] = i64(mm.end_data)
    values[47] = i64(mm.start_break)
    values[48] = i64(mm.argument_start)
    values[49] = i64(mm.argument_end)
    values[50] = i64(mm.environment_start)
    values[51] = i64(mm.environment_end)
