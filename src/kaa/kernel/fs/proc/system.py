# SPDX-License-Identifier: Apache-2.0
"""Files of /proc about the machine as a whole: meminfo, version and others. Formats: proc(5). What shows the
scheduler is in scheduling.py, processors in processors.py."""

from __future__ import annotations

from kaa.kernel import log
from kaa.kernel.drivers.char import registry
from kaa.kernel.fs.proc.tree import tree
from kaa.kernel.fs.superblock import TYPES
from kaa.kernel.fs.text import CHUNK, TextBuffer, TextChunk, kib
from kaa.kernel.init import command_line
from kaa.kernel.mm import buddy, overcommit, reclaim, slab
from kaa.kernel.mm.page_cache import cached_pages
from kaa.lang import u64

SPACE = 32
NEWLINE = 10


def show_meminfo(out: TextBuffer) -> None:
    """/proc/meminfo."""
    total = u64(buddy.total_pages())
    free = u64(buddy.free_pages_count())
    cached = cached_pages.count
    slabs = u64(slab.slab_pages())
    reclaimable = u64(reclaim.reclaimable_pages())
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
    kib(out, b"Committed_AS:   ", overcommit.promised())
    kib(out, b"VmallocTotal:   ", 0)
    out.add(b"HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n")


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
    for device in registry.registry.first_of_each_major():
        out.decimal(u64(registry.major(device)), 3)
        out.byte(SPACE)
        out.add(device.name)
        out.byte(NEWLINE)
    out.add(b"\nBlock devices:\n")


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
tree.file("version", show_version)
tree.file("cmdline", show_cmdline)
tree.file("filesystems", show_filesystems)
tree.file("devices", show_devices)
tree.file("swaps", show_swaps)
tree.file("modules", show_empty)
tree.file("partitions", show_empty)
tree.file("diskstats", show_empty)
tree.file("kmsg", show_kmsg, mode=0o400)
tree.link("mounts", "self/mounts")
