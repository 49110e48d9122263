# SPDX-License-Identifier: Apache-2.0
"""A first sysfs: the directories that programs look for, and the few files that are read at every start (sysfs(5))."""

from __future__ import annotations

from kaa.kernel.abi.statfs import SYSFS_MAGIC
from kaa.kernel.fs.superblock import SuperBlock, filesystem, find_type
from kaa.kernel.fs.synthetic import NodeInode, Tree
from kaa.kernel.fs.sysfs import processors
from kaa.kernel.fs.text import TextBuffer, kib
from kaa.kernel.mm import buddy
from kaa.lang import u64

tree = Tree(0x1000)


def show_node(out: TextBuffer) -> None:
    """The one memory node."""
    out.add(b"0\n")


def show_distance(out: TextBuffer) -> None:
    """From the one memory node to itself, as ACPI's SLIT counts."""
    out.add(b"10\n")


def show_node_memory(out: TextBuffer) -> None:
    """The one node's share of /proc/meminfo."""
    total, free = u64(buddy.total_pages()), u64(buddy.free_pages_count())
    kib(out, b"Node 0 MemTotal:       ", total)
    kib(out, b"Node 0 MemFree:        ", free)
    kib(out, b"Node 0 MemUsed:        ", total - min(total, free))


def show_clock(out: TextBuffer) -> None:
    """The clock source in use."""
    out.add(b"tsc\n")


def show_no_huge_pages(out: TextBuffer) -> None:
    """Transparent huge pages are never used."""
    out.add(b"always madvise [never]\n")


for _path in (
    "block",
    "bus",
    "class",
    "class/net",
    "dev/block",
    "dev/char",
    "devices/virtual",
    "firmware",
    "fs/cgroup",
    "module",
    "power",
):
    tree.directory(_path)
cpus = processors.declare(tree)
for _path in ("online", "possible", "has_cpu", "has_memory", "has_normal_memory"):
    tree.file(f"devices/system/node/{_path}", show_node)
tree.file("devices/system/node/node0/cpumap", processors.show_online_mask)
tree.file("devices/system/node/node0/cpulist", processors.show_online)
tree.file("devices/system/node/node0/distance", show_distance)
tree.file("devices/system/node/node0/meminfo", show_node_memory)
tree.file("devices/system/clocksource/clocksource0/current_clocksource", show_clock)
tree.file("devices/system/clocksource/clocksource0/available_clocksource", show_clock)
tree.file("kernel/mm/transparent_hugepage/enabled", show_no_huge_pages)


@filesystem("sysfs")
def mount_sysfs(source: bytes, flags: u64, data: bytes) -> SuperBlock:
    """One instance per mount; all the same."""
    superblock = SuperBlock(find_type(b"sysfs"), SYSFS_MAGIC, flags)
    superblock.set_root(NodeInode(superblock, tree.root))
    return superblock
