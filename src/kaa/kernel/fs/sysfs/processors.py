# SPDX-License-Identifier: Apache-2.0
"""/sys/devices/system/cpu: which processors there are, as lists of ranges ("0-3,5"), and a directory for each.

The directories are made once the processors have started, before the first program can look.
"""

from __future__ import annotations

from kaa.kernel.abi.stat import S_IFDIR, S_IFREG
from kaa.kernel.arch import machine
from kaa.kernel.fs.synthetic import Node, Tree
from kaa.kernel.fs.text import TextBuffer
from kaa.lang import u32, u64

MOST = 64
FIRST_NUMBER = 0x2000
COMMA, DASH, NEWLINE = 0x2C, 0x2D, 0x0A


def show_list(out: TextBuffer, processors: u64) -> None:
    """The set as ranges."""
    number: u32 = u32(0)
    first = True
    while number < MOST:
        start = number
        while number < MOST and (processors >> number) & 1 != 0:
            number += 1
        if number > start:
            if not first:
                out.byte(COMMA)
            first = False
            out.decimal(u64(start))
            if number - start > 1:
                out.byte(DASH)
                out.decimal(u64(number - 1))
        else:
            number += 1
    out.byte(NEWLINE)


def show_online(out: TextBuffer) -> None:
    """Those that run."""
    show_list(out, u64(machine.smp.online_mask()))


def show_present(out: TextBuffer) -> None:
    """Those the machine has."""
    count = u32(machine.smp.count())
    show_list(out, u64(0xFFFF_FFFF_FFFF_FFFF) >> (MOST - max(count, u32(1))))


def show_maximum(out: TextBuffer) -> None:
    """The highest number a processor can have."""
    out.decimal(u64(MOST - 1))
    out.byte(NEWLINE)


def show_true(out: TextBuffer) -> None:
    """1"""
    out.add(b"1\n")


class Directory:
    """devices/system/cpu, where more is added."""

    node: Node

    def __init__(self, node: Node) -> None:
        self.node = node


def declare(tree: Tree) -> Directory:
    """Import time: the files that are there with one processor."""
    place = "devices/system/cpu"
    tree.file(f"{place}/online", show_online)
    tree.file(f"{place}/possible", show_present)
    tree.file(f"{place}/present", show_present)
    tree.file(f"{place}/kernel_max", show_maximum)
    tree.directory(f"{place}/cpu0/topology")
    tree.file(f"{place}/cpu0/online", show_true)
    return Directory(tree.directory(place))


def add_directories(directory: Directory) -> None:
    """Once, before the first program: cpu1 and so on. Raises MemoryError."""
    for number in range(1, machine.smp.count()):
        name = TextBuffer()
        name.add(b"cpu")
        name.decimal(u64(number))
        inode = u64(FIRST_NUMBER + 4 * number)
        node = Node(name.to_bytes(), inode, S_IFDIR | 0o555, None, None, b"")
        node.children.append(Node(b"topology", inode + 1, S_IFDIR | 0o555, None, None, b""))
        if (u64(machine.smp.online_mask()) >> number) & 1 != 0:
            node.children.append(Node(b"online", inode + 2, S_IFREG | 0o444, show_true, None, b""))
        directory.node.children.append(node)
