# SPDX-License-Identifier: Apache-2.0
"""/proc itself: the fixed names, self and thread-self, and a directory for each process. Names are never cached: they
come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.dirent import DT_DIR, DT_LNK
from kaa.kernel.abi.stat import S_IFLNK
from kaa.kernel.abi.statfs import PROC_SUPER_MAGIC
from kaa.kernel.arch import machine
from kaa.kernel.fs.inode import Inode
from kaa.kernel.fs.proc import own, processors, scheduling, sysctl, system, task_directory, vmstat
from kaa.kernel.fs.proc.tree import tree
from kaa.kernel.fs.superblock import SuperBlock, filesystem, find_type
from kaa.kernel.fs.synthetic import DirectoryFile, NodeInode, emit_children
from kaa.kernel.fs.text import TextBuffer, digit_value
from kaa.kernel.process import ids
from kaa.kernel.process.pid import PID_MAX
from kaa.lang import Bytes, i32, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.dirent import DirSink
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.path import Path

PARTS = (own, processors, scheduling, sysctl, system, vmstat)
"""Imported for the names they add to the tree."""
SELF = 0x10
THREAD_SELF = 0x11
PID_BASE = 1000
"""Positions from here on are PID_BASE + pid."""


class SelfLink(Inode):
    """/proc/self and /proc/thread-self."""

    def __init__(self, superblock: SuperBlock, number: u64) -> None:
        super().__init__(superblock, number, S_IFLNK | 0o777)

    def readlink(self) -> bytes:
        """The caller's directory."""
        task = machine.percpu.current()
        text = TextBuffer()
        text.decimal(u64(task.tgid))
        if self.number == THREAD_SELF:
            text.add(b"/task/")
            text.decimal(u64(task.pid))
        return text.to_bytes()


class ProcRoot(NodeInode):
    """The top directory."""

    def lookup(self, name: Bytes) -> Inode:
        """A fixed name, self, or a number."""
        if name == b"self":
            return SelfLink(self.superblock, u64(SELF))
        if name == b"thread-self":
            return SelfLink(self.superblock, u64(THREAD_SELF))
        number = parse_pid(name)
        if number <= 0:
            return super().lookup(name)
        task = ids.find_task(number)
        if task is None:
            raise FileNotFoundError
        return task_directory.TaskDirectory(self.superblock, task, False)

    def open(self, flags: u32, path: Path) -> File:
        """To be listed."""
        return ProcRootFile(self, path, flags)


def parse_pid(name: Bytes) -> i32:
    """A number without leading zero, at most seven digits; 0 if it is none."""
    if len(name) == 0 or len(name) > 7 or name[0] == 0x30:
        return i32(0)
    value: u64 = u64(0)
    for c in name:
        if digit_value(c) > 9:
            return i32(0)
        value = value * 10 + digit_value(c)
    return i32(value)


class ProcRootFile(DirectoryFile):
    """The listing: fixed names, self, thread-self, processes by number."""

    source: Final[ProcRoot]

    def __init__(self, source: ProcRoot, path: Path, flags: u32) -> None:
        super().__init__(source, path, flags)
        self.source = source

    def entries(self, sink: DirSink) -> None:
        """In that order."""
        if self.position < PID_BASE:
            if not emit_children(tree.root, self, sink) or not self._selves(sink):
                return
            self.position = PID_BASE
        if self.position - PID_BASE >= PID_MAX:
            return
        group = ids.next_process(i32(self.position - PID_BASE))
        while group is not None:
            name = TextBuffer()
            name.decimal(u64(group.tgid))
            following = u64(PID_BASE) + u64(group.tgid)
            number = task_directory.number_of(group.tgid, 0)
            if not sink.emit(name.to_bytes(), number, DT_DIR, following):
                return
            self.position = following
            group = ids.next_process(group.tgid)

    def _selves(self, sink: DirSink) -> bool:
        first = u64(len(tree.root.children)) + 2
        if self.position == first:
            if not sink.emit(b"self", SELF, DT_LNK, first + 1):
                return False
            self.position = first + 1
        if self.position == first + 1:
            if not sink.emit(b"thread-self", THREAD_SELF, DT_LNK, u64(PID_BASE)):
                return False
        return True


@filesystem("proc")
def mount_proc(source: bytes, flags: u64, data: bytes) -> SuperBlock:
    """Options (hidepid, gid…) are taken and have no effect: every process sees all."""
    superblock = SuperBlock(find_type(b"proc"), PROC_SUPER_MAGIC, flags)
    superblock.caches_names = False
    superblock.set_root(ProcRoot(superblock, tree.root))
    return superblock
