# SPDX-License-Identifier: Apache-2.0
"""The texts of /proc/PID that are not about memory: status, stat, limits, mounts and the small ones. Formats:
proc(5)."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kaa.kernel.abi.mount import MS_NOATIME, MS_NODEV, MS_NOEXEC, MS_NOSUID
from kaa.kernel.arch import machine
from kaa.kernel.fs.mount import table
from kaa.kernel.fs.path import Path
from kaa.kernel.fs.path_text import BackwardText, climb, climb_within
from kaa.kernel.fs.proc import task_scheduling
from kaa.kernel.fs.proc.task_memory import show_memory_status
from kaa.kernel.fs.text import TextBuffer, parse_number, trimmed
from kaa.kernel.process import accounting, foreign, limits
from kaa.kernel.process.task import program_name
from kaa.kernel.signal import send
from kaa.lang import Bytes, i32, i64, u8, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.mount import Mount
    from kaa.kernel.process.task import Task
    from kaa.kernel.signal.handlers import SignalHandlers

UNLIMITED = 0xFFFFFFFFFFFFFFFF
TAB = 9
NEWLINE = 10
SPACE = 32


def line(out: TextBuffer, name: Bytes, value: u64) -> None:
    """name:<tab>value"""
    out.add(name)
    out.byte(TAB)
    out.decimal(value)
    out.byte(NEWLINE)


def numbers(out: TextBuffer, name: Bytes, a: u32, b: u32, c: u32, d: u32) -> None:
    """Four ids in a line."""
    out.add(name)
    for value in (a, b, c, d):
        out.byte(TAB)
        out.decimal(u64(value))
    out.byte(NEWLINE)


def mask(out: TextBuffer, name: Bytes, value: u64) -> None:
    """A set of signals or capabilities, 16 hexadecimal digits."""
    out.add(name)
    out.byte(TAB)
    out.hexadecimal(value, 16)
    out.byte(NEWLINE)


def state_name(letter: u8) -> Bytes:
    """In words."""
    if letter == 0x52:
        return b"R (running)"
    if letter == 0x53:
        return b"S (sleeping)"
    if letter == 0x44:
        return b"D (disk sleep)"
    if letter == 0x49:
        return b"I (idle)"
    if letter == 0x54:
        return b"T (stopped)"
    if letter == 0x5A:
        return b"Z (zombie)"
    return b"X (dead)"


def show_status(out: TextBuffer, task: Task) -> None:
    """/proc/PID/status."""
    who = foreign.credentials_of(task)
    out.add(b"Name:\t")
    name = program_name(task)
    out.add(name.text())
    if not task.is_kernel_thread():
        out.add(b"\nUmask:\t0")
        out.octal(u64(foreign.directories_of(task).umask.load_relaxed()), 3)
    out.add(b"\nState:\t")
    out.add(state_name(accounting.state_letter(task)))
    out.byte(NEWLINE)
    line(out, b"Tgid:", u64(task.tgid))
    line(out, b"Ngid:", 0)
    line(out, b"Pid:", u64(task.pid))
    line(out, b"PPid:", u64(task.group.parent_id))
    line(out, b"TracerPid:", 0)
    numbers(out, b"Uid:", who.uid, who.euid, who.suid, who.fsuid)
    numbers(out, b"Gid:", who.gid, who.egid, who.sgid, who.fsgid)
    line(out, b"FDSize:", (u64(foreign.files_of(task).limit()) + 63) // 64 * 64)
    out.add(b"Groups:\t")
    for gid in who.groups.members:
        out.decimal(u64(gid))
        out.byte(SPACE)
    out.byte(NEWLINE)
    mm = foreign.memory_of(task)
    if mm is not None:
        show_memory_status(out, mm)
    line(out, b"Threads:", u64(task.group.thread_count))
    _signals(out, task)
    mask(out, b"CapInh:", who.inheritable)
    mask(out, b"CapPrm:", who.permitted)
    mask(out, b"CapEff:", who.effective)
    mask(out, b"CapBnd:", who.bounding)
    mask(out, b"CapAmb:", who.ambient)
    line(out, b"NoNewPrivs:", u64(1) if task.no_new_privileges else u64(0))
    out.add(b"Seccomp:\t0\n")
    task_scheduling.show_allowed(out, task)
    line(out, b"voluntary_ctxt_switches:", task.voluntary_switches)
    line(out, b"nonvoluntary_ctxt_switches:", task.involuntary_switches)


def _signals(out: TextBuffer, task: Task) -> None:
    with task.group.signal_lock:
        shared = task.group.pending.mask
        own = task.pending.mask
        ignored = task.group.handlers.ignored
        caught_ = caught(task.group.handlers)
        blocked = task.blocked
    out.add(b"SigQ:\t")
    out.decimal(send.queued_for(foreign.user_of(task)))
    out.byte(0x2F)
    out.decimal(task.group.limits.soft[11].load_relaxed())
    out.byte(NEWLINE)
    mask(out, b"SigPnd:", own)
    mask(out, b"ShdPnd:", shared)
    mask(out, b"SigBlk:", blocked)
    mask(out, b"SigIgn:", ignored)
    mask(out, b"SigCgt:", caught_)


def caught(handlers: SignalHandlers) -> u64:
    """Signals with a handler of the program's."""
    return (handlers.ignored | handlers.defaults) ^ u64(UNLIMITED)


def show_comm(out: TextBuffer, task: Task) -> None:
    """/proc/PID/comm."""
    name = program_name(task)
    out.add(name.text())
    out.byte(NEWLINE)


def store_comm(data: Bytes, task: Task) -> None:
    """Rename a thread of the caller's process."""
    if task.group is not machine.percpu.current().group:
        raise OSError(errno.EINVAL)
    task.set_name(trimmed(data))


LIMIT_NAMES: list[bytes] = [
    b"Max cpu time              ", b"Max file size             ", b"Max data size             ",
    b"Max stack size            ", b"Max core file size        ", b"Max resident set          ",
    b"Max processes             ", b"Max open files            ", b"Max locked memory         ",
    b"Max address space         ", b"Max file locks            ", b"Max pending signals       ",
    b"Max msgqueue size         ", b"Max nice priority         ", b"Max realtime priority     ",
    b"Max realtime timeout      ",
]
LIMIT_UNITS: list[bytes] = [
    b"seconds", b"bytes", b"bytes", b"bytes", b"bytes", b"bytes", b"processes", b"files", b"bytes", b"bytes", b"locks",
    b"signals", b"bytes", b"", b"", b"us",
]


def show_limits(out: TextBuffer, task: Task) -> None:
    """/proc/PID/limits."""
    out.add(b"Limit                     Soft Limit           Hard Limit           Units     \n")
    for index in range(16):
        out.add(LIMIT_NAMES[index])
        both = limits.of(task.group, index)
        _limit(out, both.soft)
        _limit(out, both.hard)
        unit = LIMIT_UNITS[index]
        if len(unit) > 0:
            _padded(out, unit, 10)
        out.byte(NEWLINE)


def _padded(out: TextBuffer, text: Bytes, width: usize) -> None:
    start = out.length
    out.add(text)
    while out.length < start + width:
        out.byte(SPACE)


def _limit(out: TextBuffer, value: u64) -> None:
    before = out.length
    if value == UNLIMITED:
        out.add(b"unlimited")
    else:
        out.decimal(value)
    while out.length < before + 21:
        out.byte(SPACE)


def mount_flags(out: TextBuffer, flags: u64, superblock_flags: u64) -> None:
    """rw,nosuid,… as /proc/mounts has them."""
    out.add(b"ro" if (flags | superblock_flags) & 1 else b"rw")
    if flags & MS_NOSUID:
        out.add(b",nosuid")
    if flags & MS_NODEV:
        out.add(b",nodev")
    if flags & MS_NOEXEC:
        out.add(b",noexec")
    out.add(b",noatime" if flags & MS_NOATIME else b",relatime")


def mount_point(mount: Mount, root: Path) -> bytes | None:
    """Where it is seen from `root`; None if it is not."""
    text = BackwardText()
    if not climb(Path(mount, mount.root), root, text):
        return None
    return text.to_bytes()


def show_mounts(out: TextBuffer, task: Task) -> None:
    """/proc/PID/mounts: fstab(5)'s format."""
    for mount, place in _seen_mounts(task):
        out.add(mount.source)
        out.byte(SPACE)
        escaped(out, place)
        out.byte(SPACE)
        out.add(mount.superblock.kind.name)
        out.byte(SPACE)
        mount_flags(out, mount.flags, mount.superblock.flags)
        mount.superblock.options(out)
        out.add(b" 0 0\n")


def _seen_mounts(task: Task) -> Iterator[tuple[Mount, bytes]]:
    """The mounts that a process sees, and where; a kernel thread has no root and sees none, nor do the dead."""
    if task.is_kernel_thread():
        return
    root = foreign.directories_of(task).find_root()
    if root is None:
        return
    with table.change:
        for mount in table.mounts:
            place = mount_point(mount, root)
            if place is not None:
                yield mount, place if len(place) > 0 else b"/"


def show_mountinfo(out: TextBuffer, task: Task) -> None:
    """/proc/PID/mountinfo."""
    for mount, place in _seen_mounts(task):
        parent = mount.parent
        out.decimal(u64(mount.number))
        out.byte(SPACE)
        out.decimal(u64(1) if parent is None else u64(parent.number))
        out.add(b" 0:")
        out.decimal(mount.superblock.device & 0xFF)
        out.byte(SPACE)
        _root_of(out, mount)
        out.byte(SPACE)
        escaped(out, place)
        out.byte(SPACE)
        mount_flags(out, mount.flags, 0)
        out.add(b" - ")
        out.add(mount.superblock.kind.name)
        out.byte(SPACE)
        out.add(mount.source)
        out.byte(SPACE)
        out.add(b"ro" if mount.superblock.flags & 1 else b"rw")
        mount.superblock.options(out)
        out.byte(NEWLINE)


def _root_of(out: TextBuffer, mount: Mount) -> None:
    """Which part of the file system the mount shows."""
    text = BackwardText()
    climb_within(mount.root, text)
    out.add(text.to_bytes())


def escaped(out: TextBuffer, name: Bytes) -> None:
    """Blanks and backslashes as octal escapes (getmntent(3))."""
    for c in name:
        if c == SPACE or c == TAB or c == NEWLINE or c == 0x5C:
            out.byte(0x5C)
            out.octal(u64(c), 3)
        else:
            out.byte(c)


def show_oom_score(out: TextBuffer, task: Task) -> None:
    """/proc/PID/oom_score: share of memory in thousandths, and the adjustment."""
    mm = foreign.memory_of(task)
    score = i64(0)
    if mm is not None:
        from kaa.kernel.mm import buddy

        score = i64(mm.resident_pages() * 1000 // max(buddy.total_pages(), u64(1)))
    score += i64(task.group.oom_score_adjust)
    out.signed(max(score, i64(0)))
    out.byte(NEWLINE)


def show_oom_score_adj(out: TextBuffer, task: Task) -> None:
    """/proc/PID/oom_score_adj."""
    out.signed(i64(task.group.oom_score_adjust))
    out.byte(NEWLINE)


def show_oom_adj(out: TextBuffer, task: Task) -> None:
    """/proc/PID/oom_adj: the older scale."""
    out.signed(i64(task.group.oom_score_adjust) * 17 // 1000)
    out.byte(NEWLINE)


def store_oom_score_adj(data: Bytes, task: Task) -> None:
    """-1000 to 1000; lower than before needs CAP_SYS_RESOURCE."""
    text = trimmed(data)
    negative = len(text) > 0 and text[0] == 0x2D
    value = i32(parse_number(text[1:] if negative else text))
    if value > 1000:
        raise OSError(errno.EINVAL)
    adjusted = -value if negative else value
    if adjusted < task.group.oom_score_adjust and not machine.percpu.current().credentials.capable(24):
        raise OSError(errno.EACCES)
    task.group.oom_score_adjust = adjusted


def show_cgroup(out: TextBuffer, task: Task) -> None:
    """/proc/PID/cgroup: the one there is."""
    out.add(b"0::/\n")


def show_io(out: TextBuffer, task: Task) -> None:
    """/proc/PID/io: not counted."""
    out.add(b"rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n")


def show_wchan(out: TextBuffer, task: Task) -> None:
    """/proc/PID/wchan: not told."""
    out.byte(0x30)


def show_loginuid(out: TextBuffer, task: Task) -> None:
    """/proc/PID/loginuid, sessionid: never set."""
    out.add(b"4294967295")


def show_personality(out: TextBuffer, task: Task) -> None:
    """/proc/PID/personality."""
    out.hexadecimal(u64(task.personality), 8)
    out.byte(NEWLINE)


def show_id_map(out: TextBuffer, task: Task) -> None:
    """/proc/PID/uid_map, gid_map: one to one."""
    out.add(b"         0          0 4294967295\n")


def show_setgroups(out: TextBuffer, task: Task) -> None:
    """/proc/PID/setgroups."""
    out.add(b"allow\n")
