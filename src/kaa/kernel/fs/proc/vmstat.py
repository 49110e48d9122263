# SPDX-License-Identifier: Apache-2.0
"""/proc/vmstat: counts of pages now, and of events of memory since boot, by Linux's names (proc(5)). What this kernel
does not count has no line."""

from __future__ import annotations

from kaa.kernel.fs.proc.tree import tree
from kaa.kernel.fs.text import TextBuffer
from kaa.kernel.mm import buddy, events, reclaim, slab
from kaa.kernel.mm.page_cache import cached_pages
from kaa.kernel.sched import cpu
from kaa.lang import Bytes, u64


def line(out: TextBuffer, name: Bytes, number: u64) -> None:
    """name n"""
    out.add(name)
    out.byte(32)
    out.decimal(number)
    out.byte(10)


def show_vmstat(out: TextBuffer) -> None:
    """/proc/vmstat."""
    faults: u64 = u64(0)
    reads: u64 = u64(0)
    for other in cpu.every():
        faults += other.events.faults.load_relaxed()
        reads += other.events.reads.load_relaxed()
    counts = events.counts
    line(out, b"nr_free_pages", u64(buddy.free_pages_count()))
    line(out, b"nr_inactive_file", u64(reclaim.reclaimable_pages()))
    line(out, b"nr_file_pages", cached_pages.count)
    line(out, b"nr_dirty", cached_pages.dirty)
    line(out, b"nr_slab_unreclaimable", u64(slab.slab_pages()))
    line(out, b"pgfault", faults)
    line(out, b"pgmajfault", reads)
    line(out, b"pgsteal_direct", u64(counts.reclaimed.load()))
    line(out, b"allocstall_normal", u64(counts.stalls.load()))
    line(out, b"oom_kill", u64(counts.kills.load()))


tree.file("vmstat", show_vmstat)
