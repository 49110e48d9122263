# SPDX-License-Identifier: Apache-2.0
"""Files of /proc about the machine as a whole: meminfo, cpuinfo, stat, uptime, loadavg, version and others. Formats:
proc(5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel import log
from kaa.kernel.arch import machine
from kaa.kernel.drivers.char import registry
from kaa.kernel.fs.proc.tree import tree
from kaa.kernel.fs.superblock import TYPES
from kaa.kernel.fs.text import CHUNK, TextBuffer, TextChunk
from kaa.kernel.init import command_line
from kaa.kernel.mm import buddy, overcommit, reclaim, slab
from kaa.kernel.mm.page_cache import cached_pages
from kaa.kernel.process import accounting, ids
from kaa.kernel.sched import core
from kaa.lang import Bytes, i64, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.process.group import ThreadGroup

SECOND = 1_000_000_000
SPACE = 32
NEWLINE = 10


def kib(out: TextBuffer, name: Bytes, pages: u64) -> None:
    """name: n kB"""
    out.add(name)
    out.decimal(pages * 4, 8)
    out.add(b" kB\n")


def show_meminfo(out: TextBuffer) -> None:
    """/proc/meminfo."""
    total = u64(buddy.total_pages())
    free = u64(buddy.free_pages_count())
    cached = cached_pages.count
    slabs = u64(slab.slab_pages())
    reclaimable = reclaim.lru.count
    used = free + cached + slabs
    kib(out, b"MemTotal:       ", total)
    kib(out, b"MemFree:        ", free)
    kib(out, b"MemAvailable:   ", free + reclaimable)
    kib(out, b"Buffers:        ", 0)
    kib(out, b"Cached:         ", cached)
    kib(out, b"SwapCached:     ", 0)
    kib(out, b"Active:         ", total - min(total, used))
    kib(out, b"Inactive:       ", reclaimable)
    kib(out, b"SwapTotal:      ", 0)
    kib(out, b"SwapFree:       ", 0)
    kib(out, b"Dirty:          ", cached_pages.dirty)
    kib(out, b"Writeback:      ", 0)
    kib(out, b"AnonPages:      ", total - min(total, used))
    kib(out, b"Mapped:         ", 0)
    kib(out, b"Shmem:          ", cached - min(cached, reclaimable))
    kib(out, b"Slab:           ", slabs)
    kib(out, b"SReclaimable:   ", 0)
    kib(out, b"SUnreclaim:     ", slabs)
    kib(out, b"CommitLimit:    ", overcommit.limit())
    kib(out, b"Committed_AS:   ", u64(max(overcommit.commitments.pages.load(), i64(0))))
    kib(out, b"VmallocTotal:   ", 0)
    out.add(b"HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n")


def show_cpuinfo(out: TextBuffer) -> None:
    """/proc/cpuinfo, for the one processor there is."""
    out.add(b"processor\t: 0\nmodel name\t: ")
    out.add(machine.elf.PLATFORM)
    out.add(b"\ncpu MHz\t\t: ")
    out.decimal(machine.clock.state.tsc_hz // 1_000_000)
    out.add(b".000\nphysical id\t: 0\ncore id\t\t: 0\ncpu cores\t: 1\n\n")


def show_stat(out: TextBuffer) -> None:
    """/proc/stat."""
    user: u64 = u64(0)
    system: u64 = u64(0)
    running: u64 = u64(0)
    count: u64 = u64(0)
    group: ThreadGroup | None = ids.next_process(0)
    while group is not None:
        used = accounting.group_usage(group)
        user += used.user_ns
        system += used.system_ns
        count += 1
        leader = group.leader
        if leader is not None and leader.state == 0:
            running += 1
        group = ids.next_process(group.tgid)
    uptime = u64(machine.clock.monotonic_ns())
    idle = uptime - min(uptime, user + system)
    for name in (b"cpu  ", b"cpu0 "):
        out.add(name)
        out.decimal(accounting.ticks(user))
        out.add(b" 0 ")
        out.decimal(accounting.ticks(system))
        out.byte(SPACE)
        out.decimal(accounting.ticks(idle))
        out.add(b" 0 0 0 0 0 0\n")
    out.add(b"intr 0\nctxt 0\nbtime ")
    out.decimal((u64(machine.clock.realtime_ns()) - uptime) // SECOND)
    out.add(b"\nprocesses ")
    out.decimal(count)
    out.add(b"\nprocs_running ")
    out.decimal(max(running, u64(1)))
    out.add(b"\nprocs_blocked 0\n")


def hundredths(out: TextBuffer, ns: u64) -> None:
    """Seconds with two decimals."""
    out.decimal(ns // SECOND)
    out.byte(0x2E)
    part = ns % SECOND // 10_000_000
    if part < 10:
        out.byte(0x30)
    out.decimal(part)


def show_uptime(out: TextBuffer) -> None:
    """/proc/uptime: since boot, and idle."""
    now = u64(machine.clock.monotonic_ns())
    hundredths(out, now)
    out.byte(SPACE)
    idle = core.run_queue.idle
    spent = u64(0) if idle is None else u64(core.run_time(idle))
    hundredths(out, min(spent, now))
    out.byte(NEWLINE)


def show_loadavg(out: TextBuffer) -> None:
    """/proc/loadavg: averages are not kept; running and existing tasks, and the latest pid, are real."""
    count: u64 = u64(0)
    running: u64 = u64(0)
    last: u64 = u64(0)
    task = ids.next_task(0)
    while task is not None:
        count += 1
        last = u64(task.pid)
        if task.state == 0:
            running += 1
        task = ids.next_task(task.pid)
    out.add(b"0.00 0.00 0.00 ")
    out.decimal(max(running, u64(1)))
    out.byte(0x2F)
    out.decimal(count)
    out.byte(SPACE)
    out.decimal(last)
    out.byte(NEWLINE)


def show_version(out: TextBuffer) -> None:
    """/proc/version."""
    out.add(b"Linux version 6.17.0-kaa (kaa) (Python) #1 Kaa\n")


def show_cmdline(out: TextBuffer) -> None:
    """/proc/cmdline."""
    out.add(command_line.text())
    out.byte(NEWLINE)


def show_filesystems(out: TextBuffer) -> None:
    """/proc/filesystems."""
    for kind in TYPES:
        if not kind.needs_device:
            out.add(b"nodev")
        out.byte(9)
        out.add(kind.name)
        out.byte(NEWLINE)


def show_devices(out: TextBuffer) -> None:
    """/proc/devices: majors and the first name of each."""
    out.add(b"Character devices:\n")
    devices = registry.registry.devices
    for index in range(len(devices)):
        device = devices[index]
        major = registry.major(device)
        if device.link is None and not _told_before(index, major):
            out.decimal(u64(major), 3)
            out.byte(SPACE)
            out.add(device.name)
            out.byte(NEWLINE)
    out.add(b"\nBlock devices:\n")


def _told_before(index: u64, major: u32) -> bool:
    devices = registry.registry.devices
    for earlier in range(index):
        if devices[earlier].link is None and registry.major(devices[earlier]) == major:
            return True
    return False


def show_empty(out: TextBuffer) -> None:
    """A file with nothing in it: swaps' and the like's header is all programs look for."""


def show_swaps(out: TextBuffer) -> None:
    """/proc/swaps."""
    out.add(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")


def show_kmsg(out: TextBuffer) -> None:
    """/proc/kmsg: the log as it is."""
    piece = TextChunk()
    position = log.oldest()
    while True:
        got = log.copy_from(position, piece.data[0:CHUNK])
        if got == 0:
            return
        out.add(piece.data[0:got])
        position += got


tree.file("meminfo", show_meminfo)
tree.file("cpuinfo", show_cpuinfo)
tree.file("stat", show_stat)
tree.file("uptime", show_uptime)
tree.file("loadavg", show_loadavg)
tree.file("version", show_version)
tree.file("cmdline", show_cmdline)
tree.file("filesystems", show_filesystems)
tree.file("devices", show_devices)
tree.file("swaps", show_swaps)
tree.file("modules", show_empty)
tree.file("partitions", show_empty)
tree.file("diskstats", show_empty)
tree.file("interrupts", show_empty)
tree.file("kmsg", show_kmsg, mode=0o400)
tree.link("mounts", "self/mounts")
