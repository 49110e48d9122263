# SPDX-License-Identifier: Apache-2.0
"""/sys/devices/system/cpu and …/node: which processors there are, as lists of ranges ("0-3,5") and as masks, and a
directory for each. They are cores of one package and of one memory node, with one thread each.

The directories are made once the processors have started, before the first program can look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kaa.kernel.abi.stat import S_IFDIR, S_IFREG
from kaa.kernel.arch import machine
from kaa.kernel.fs.synthetic import Node, Tree
from kaa.kernel.fs.text import TextBuffer
from kaa.lang import u32, u64

MOST = 64
FIRST_NUMBER = 0x2000
NUMBERS_EACH = 32
"""Inode numbers that a processor's directory has."""
COMMA, DASH, NEWLINE = 0x2C, 0x2D, 0x0A
CPUS = "devices/system/cpu"

# Files of `topology`: the old names beside those that say what is meant.
PACKAGE_MASKS: list[bytes] = [b"package_cpus", b"core_siblings"]
PACKAGE_LISTS: list[bytes] = [b"package_cpus_list", b"core_siblings_list"]
CORE_MASKS: list[bytes] = [b"core_cpus", b"thread_siblings"]
CORE_LISTS: list[bytes] = [b"core_cpus_list", b"thread_siblings_list"]


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


def show_mask(out: TextBuffer, processors: u64) -> None:
    """The set as a number, with as many digits as there may be processors, in groups of eight."""
    digits = (u32(machine.smp.count()) + 3) // 4
    low = min(digits, u32(8))
    if digits > 8:
        out.hexadecimal(processors >> 32, digits - 8)
        out.byte(COMMA)
    out.hexadecimal(processors & 0xFFFF_FFFF, low)
    out.byte(NEWLINE)


def present() -> u64:
    """Those the machine has."""
    count = u32(machine.smp.count())
    return u64(0xFFFF_FFFF_FFFF_FFFF) >> (MOST - max(count, u32(1)))


def show_online(out: TextBuffer) -> None:
    """Those that run."""
    show_list(out, u64(machine.smp.online_mask()))


def show_offline(out: TextBuffer) -> None:
    """Those the machine has that do not."""
    show_list(out, present() & ~u64(machine.smp.online_mask()))


def show_online_mask(out: TextBuffer) -> None:
    """Those that run."""
    show_mask(out, u64(machine.smp.online_mask()))


def show_present(out: TextBuffer) -> None:
    """Those the machine has."""
    show_list(out, present())


def show_maximum(out: TextBuffer) -> None:
    """The highest number a processor can have."""
    out.decimal(u64(MOST - 1))
    out.byte(NEWLINE)


def show_runs(out: TextBuffer, processor: u64) -> None:
    """It does."""
    out.add(b"1\n")


def show_package(out: TextBuffer, processor: u64) -> None:
    """The number of its package, and of its die."""
    out.add(b"0\n")


def show_package_mask(out: TextBuffer, processor: u64) -> None:
    """Those in its package."""
    show_online_mask(out)


def show_package_list(out: TextBuffer, processor: u64) -> None:
    """The same as ranges."""
    show_online(out)


def show_core(out: TextBuffer, processor: u64) -> None:
    """Its number."""
    out.decimal(processor)
    out.byte(NEWLINE)


def show_itself(out: TextBuffer, processor: u64) -> None:
    """The set of which it is the only member."""
    show_mask(out, u64(1) << processor)


class ProcessorFile(Node):
    """A file that says something of one processor."""

    processor: Final[u64]
    show_of: Final[Callable[[TextBuffer, u64], None]]

    def __init__(self, name: bytes, number: u64, processor: u64, show_of: Callable[[TextBuffer, u64], None]) -> None:
        super().__init__(name, number, u32(S_IFREG | 0o444), None, None, b"")
        self.processor = processor
        self.show_of = show_of

    def produce(self, out: TextBuffer) -> None:
        """Of that processor."""
        self.show_of(out, self.processor)


class ProcessorDirectory:
    """Makes the directory of one processor. Every file has a number of its own."""

    processor: u64
    number: u64

    def __init__(self, processor: u64) -> None:
        self.processor = processor
        self.number = u64(FIRST_NUMBER) + NUMBERS_EACH * processor

    def _next(self) -> u64:
        self.number += 1
        return self.number

    def make(self) -> Node:
        """cpuN. Raises MemoryError."""
        name = TextBuffer()
        name.add(b"cpu")
        name.decimal(self.processor)
        node = Node(name.to_bytes(), self._next(), u32(S_IFDIR | 0o555), None, None, b"")
        topology = Node(b"topology", self._next(), u32(S_IFDIR | 0o555), None, None, b"")
        if (u64(machine.smp.online_mask()) >> self.processor) & 1 != 0:
            self._file(node, b"online", show_runs)
            self._fill(topology)
        node.children.append(topology)
        return node

    def _file(self, directory: Node, name: bytes, show_of: Callable[[TextBuffer, u64], None]) -> None:
        directory.children.append(ProcessorFile(name, self._next(), self.processor, show_of))

    def _fill(self, topology: Node) -> None:
        self._file(topology, b"physical_package_id", show_package)
        self._file(topology, b"die_id", show_package)
        self._file(topology, b"core_id", show_core)
        for name in PACKAGE_MASKS:
            self._file(topology, name, show_package_mask)
        for name in PACKAGE_LISTS:
            self._file(topology, name, show_package_list)
        for name in CORE_MASKS:
            self._file(topology, name, show_itself)
        for name in CORE_LISTS:
            self._file(topology, name, show_core)


class Directory:
    """devices/system/cpu, where more is added."""

    node: Node

    def __init__(self, node: Node) -> None:
        self.node = node


def declare(tree: Tree) -> Directory:
    """Import time: the files that are not of one processor."""
    tree.file(f"{CPUS}/online", show_online)
    tree.file(f"{CPUS}/offline", show_offline)
    tree.file(f"{CPUS}/possible", show_present)
    tree.file(f"{CPUS}/present", show_present)
    tree.file(f"{CPUS}/kernel_max", show_maximum)
    return Directory(tree.directory(CPUS))


def add_directories(directory: Directory) -> None:
    """Once, before the first program: cpu0 and so on. Raises MemoryError."""
    for number in range(machine.smp.count()):
        directory.node.children.append(ProcessorDirectory(u64(number)).make())
