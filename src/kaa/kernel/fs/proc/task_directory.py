# SPDX-License-Identifier: Apache-2.0
"""/proc/PID and /proc/PID/task/TID: which files there are (`TASK_FILES`), links, and the fd, fdinfo and task
directories.

Every inode knows the number of its task and asks for the task again with each use: ESRCH when it is gone. What tells
about memory, descriptors or environment is for the same user or root (EACCES).
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.dirent import DT_DIR, DT_LNK, DT_REG, type_of
from kaa.kernel.abi.stat import S_IFDIR, S_IFLNK, S_IFREG
from kaa.kernel.arch import machine
from kaa.kernel.fs.inode import Inode
from kaa.kernel.fs.path import Path
from kaa.kernel.fs.path_text import path_text
from kaa.kernel.fs.proc import task_areas, task_files, task_memory, task_scheduling, task_stat
from kaa.kernel.fs.synthetic import DirectoryFile, GeneratedFile
from kaa.kernel.fs.text import TextBuffer, digit_value
from kaa.kernel.process import foreign, ids
from kaa.lang import Bytes, i32, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.dirent import DirSink
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.superblock import SuperBlock
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.mm.vma import Vma
    from kaa.kernel.process.task import Task

CAP_SYS_PTRACE = 19
FD_BASE = 0x100
FDINFO_BASE = 0x40000


class TaskFile:
    """A name in /proc/PID. `private`: for the same user only. `show_area`: the text is one area after the other."""

    name: Final[bytes]
    mode: Final[u32]
    show: Final[Callable[[TextBuffer, Task], None] | None]
    store: Final[Callable[[Bytes, Task], None] | None]
    private: Final[bool]
    show_area: Final[Callable[[TextBuffer, AddressSpace, Vma], None] | None]

    def __init__(
        self,
        name: bytes,
        mode: u32,
        show: Callable[[TextBuffer, Task], None] | None,
        store: Callable[[Bytes, Task], None] | None = None,
        private: bool = False,
        show_area: Callable[[TextBuffer, AddressSpace, Vma], None] | None = None,
    ) -> None:
        self.name = name
        self.mode = mode
        self.show = show
        self.store = store
        self.private = private
        self.show_area = show_area


REGULAR = S_IFREG | 0o444
LINK = S_IFLNK | 0o777

TASK_FILES: list[TaskFile] = [
    TaskFile(b"status", REGULAR, task_files.show_status),
    TaskFile(b"stat", REGULAR, task_stat.show_stat),
    TaskFile(b"statm", REGULAR, task_memory.show_statm),
    TaskFile(b"comm", S_IFREG | 0o644, task_files.show_comm, task_files.store_comm),
    TaskFile(b"cmdline", REGULAR, task_memory.show_cmdline),
    TaskFile(b"environ", S_IFREG | 0o400, task_memory.show_environ, None, True),
    TaskFile(b"auxv", S_IFREG | 0o400, task_memory.show_auxv, None, True),
    TaskFile(b"maps", REGULAR, None, None, True, task_areas.show_area),
    TaskFile(b"smaps", REGULAR, None, None, True, task_areas.show_area_sizes),
    TaskFile(b"smaps_rollup", REGULAR, task_memory.show_smaps_rollup, None, True),
    TaskFile(b"limits", REGULAR, task_files.show_limits),
    TaskFile(b"mounts", REGULAR, task_files.show_mounts),
    TaskFile(b"mountinfo", REGULAR, task_files.show_mountinfo),
    TaskFile(b"oom_score", REGULAR, task_files.show_oom_score),
    TaskFile(b"oom_score_adj", S_IFREG | 0o644, task_files.show_oom_score_adj, task_files.store_oom_score_adj),
    TaskFile(b"oom_adj", S_IFREG | 0o644, task_files.show_oom_adj),
    TaskFile(b"cgroup", REGULAR, task_files.show_cgroup),
    TaskFile(b"io", S_IFREG | 0o400, task_files.show_io, None, True),
    TaskFile(b"wchan", REGULAR, task_files.show_wchan),
    TaskFile(b"loginuid", S_IFREG | 0o644, task_files.show_loginuid),
    TaskFile(b"sessionid", REGULAR, task_files.show_loginuid),
    TaskFile(b"personality", S_IFREG | 0o400, task_files.show_personality),
    TaskFile(b"sched", REGULAR, task_scheduling.show_sched),
    TaskFile(b"schedstat", REGULAR, task_scheduling.show_schedstat),
    TaskFile(b"uid_map", S_IFREG | 0o644, task_files.show_id_map),
    TaskFile(b"gid_map", S_IFREG | 0o644, task_files.show_id_map),
    TaskFile(b"setgroups", S_IFREG | 0o644, task_files.show_setgroups),
    TaskFile(b"exe", LINK, None, None, True),
    TaskFile(b"cwd", LINK, None, None, True),
    TaskFile(b"root", LINK, None, None, True),
    TaskFile(b"fd", S_IFDIR | 0o500, None, None, True),
    TaskFile(b"fdinfo", S_IFDIR | 0o500, None, None, True),
    TaskFile(b"task", S_IFDIR | 0o555, None),
]
TASK_DIRECTORY = len(TASK_FILES) - 1


def number_of(pid: i32, index: u64) -> u64:
    """The inode number of a task's directory (index 0) or of something in it."""
    return (u64(pid) << 24) | (index + 1)


def task_of(pid: i32) -> Task:
    """The task, or ProcessLookupError."""
    task = ids.find_task(pid)
    if task is None:
        raise ProcessLookupError
    return task


def require_access(task: Task) -> None:
    """As ptrace(2)'s read access: the same user, or CAP_SYS_PTRACE. Raises OSError(EACCES)."""
    me = machine.percpu.current()
    if task.group is me.group or me.credentials.capable(CAP_SYS_PTRACE):
        return
    who = foreign.credentials_of(task)
    if me.credentials.fsuid != who.uid or me.credentials.fsuid != who.euid:
        raise OSError(errno.EACCES)


class TaskInode(Inode):
    """Anything that belongs to a task: owned by its effective user."""

    pid: Final[i32]

    def __init__(self, superblock: SuperBlock, task: Task, number: u64, mode: u32) -> None:
        super().__init__(superblock, number, mode)
        self.pid = task.pid
        who = foreign.credentials_of(task)
        self.uid = who.euid
        self.gid = who.egid
        if self.is_directory():
            self.nlink = 2


class TaskDirectory(TaskInode):
    """/proc/PID, or /proc/PID/task/TID (which has no task directory)."""

    is_thread: Final[bool]

    def __init__(self, superblock: SuperBlock, task: Task, is_thread: bool) -> None:
        super().__init__(superblock, task, number_of(task.pid, 0), S_IFDIR | 0o555)
        self.is_thread = is_thread

    def lookup(self, name: Bytes) -> Inode:
        """One of TASK_FILES."""
        task = task_of(self.pid)
        for index in range(self.count()):
            if TASK_FILES[index].name == name:
                return make(self.superblock, task, u64(index))
        raise FileNotFoundError

    def count(self) -> u64:
        """How many names."""
        return u64(TASK_DIRECTORY) if self.is_thread else u64(TASK_DIRECTORY + 1)

    def open(self, flags: u32, path: Path) -> File:
        """To be listed."""
        return TaskDirectoryFile(self, path, flags)


def make(superblock: SuperBlock, task: Task, index: u64) -> Inode:
    """The inode of TASK_FILES[index]."""
    entry = TASK_FILES[index]
    number = number_of(task.pid, index + 1)
    kind = entry.mode & 0o170000
    if kind == S_IFLNK:
        return TaskLink(superblock, task, number, entry)
    if kind == S_IFREG:
        return TaskText(superblock, task, number, entry)
    return TaskListing(superblock, task, number, entry)


class TaskDirectoryFile(DirectoryFile):
    """The listing of TASK_FILES."""

    source: Final[TaskDirectory]

    def __init__(self, source: TaskDirectory, path: Path, flags: u32) -> None:
        super().__init__(source, path, flags)
        self.source = source

    def entries(self, sink: DirSink) -> None:
        """In the table's order."""
        while self.position - 2 < self.source.count():
            index = self.position - 2
            entry = TASK_FILES[index]
            if not sink.emit(entry.name, number_of(self.source.pid, index + 1), type_of(entry.mode), self.position + 1):
                return
            self.position += 1


class TaskText(TaskInode):
    """A generated file."""

    entry: Final[TaskFile]

    def __init__(self, superblock: SuperBlock, task: Task, number: u64, entry: TaskFile) -> None:
        super().__init__(superblock, task, number, entry.mode)
        self.entry = entry

    def truncate(self, size: u64) -> None:
        """O_TRUNC means nothing."""

    def open(self, flags: u32, path: Path) -> File:
        """Checks who asks."""
        if self.entry.private:
            require_access(task_of(self.pid))
        show_area = self.entry.show_area
        if show_area is not None:
            return task_areas.AreasFile(self.pid, show_area, self, path, flags)
        return TaskTextFile(self, path, flags)


class TaskTextFile(GeneratedFile):
    """An open one."""

    source: Final[TaskText]

    def __init__(self, source: TaskText, path: Path, flags: u32) -> None:
        super().__init__(source, path, flags)
        self.source = source

    def produce(self, out: TextBuffer) -> None:
        """Raises ProcessLookupError when the task is gone."""
        show = self.source.entry.show
        if show is not None:
            show(out, task_of(self.source.pid))

    def consume(self, data: Bytes) -> None:
        """For the files that can be written."""
        store = self.source.entry.store
        if store is None:
            raise OSError(errno.EINVAL)
        task = task_of(self.source.pid)
        require_access(task)
        store(data, task)


class TaskLink(TaskInode):
    """exe, cwd, root: magic links."""

    entry: Final[TaskFile]

    def __init__(self, superblock: SuperBlock, task: Task, number: u64, entry: TaskFile) -> None:
        super().__init__(superblock, task, number, entry.mode)
        self.entry = entry

    def magic_link(self) -> Path | None:
        """The place itself. Raises FileNotFoundError for a kernel thread and for the dead, which have none."""
        task = task_of(self.pid)
        require_access(task)
        if task.is_kernel_thread():
            raise FileNotFoundError
        if self.entry.name == b"cwd":
            return _existing(foreign.directories_of(task).find_cwd())
        if self.entry.name == b"root":
            return _existing(foreign.directories_of(task).find_root())
        mm = foreign.memory_of(task)
        file = None if mm is None else mm.program()
        if file is None or file.path is None:
            raise FileNotFoundError
        return file.path

    def readlink(self) -> bytes:
        """The place's name."""
        place = self.magic_link()
        assert place is not None
        return path_text(place, machine.percpu.current().fs.root())


def _existing(place: Path | None) -> Path:
    """Raises FileNotFoundError."""
    if place is None:
        raise FileNotFoundError
    return place


class TaskListing(TaskInode):
    """fd, fdinfo, task."""

    entry: Final[TaskFile]

    def __init__(self, superblock: SuperBlock, task: Task, number: u64, entry: TaskFile) -> None:
        super().__init__(superblock, task, number, entry.mode)
        self.entry = entry

    def lookup(self, name: Bytes) -> Inode:
        """A descriptor or a thread, by number."""
        task = task_of(self.pid)
        number = parse_number(name)
        if self.entry.name == b"task":
            thread = ids.find_task(number)
            if thread is None or thread.group is not task.group:
                raise FileNotFoundError
            return TaskDirectory(self.superblock, thread, True)
        require_access(task)
        if foreign.files_of(task).find(number) is None:
            raise FileNotFoundError
        if self.entry.name == b"fd":
            return FdLink(self.superblock, task, number)
        return FdInfo(self.superblock, task, number)

    def open(self, flags: u32, path: Path) -> File:
        """To be listed."""
        if self.entry.private:
            require_access(task_of(self.pid))
        return TaskListingFile(self, path, flags)


def parse_number(name: Bytes) -> i32:
    """A descriptor or thread number. Raises FileNotFoundError for anything else."""
    if len(name) == 0 or len(name) > 7 or (name[0] == 0x30 and len(name) > 1):
        raise FileNotFoundError
    value: u64 = u64(0)
    for c in name:
        if digit_value(c) > 9:
            raise FileNotFoundError
        value = value * 10 + digit_value(c)
    return i32(value)


class TaskListingFile(DirectoryFile):
    """The listing of descriptors or threads; the position is the number + 2, or the thread number + 2."""

    source: Final[TaskListing]

    def __init__(self, source: TaskListing, path: Path, flags: u32) -> None:
        super().__init__(source, path, flags)
        self.source = source

    def entries(self, sink: DirSink) -> None:
        """In order of numbers."""
        task = task_of(self.source.pid)
        if self.source.entry.name == b"task":
            self._threads(task, sink)
            return
        kind = u32(DT_LNK) if self.source.entry.name == b"fd" else u32(DT_REG)
        files = foreign.files_of(task)
        while self.position - 2 < u64(files.limit()):
            number = i32(self.position - 2)
            if files.find(number) is not None:
                name = TextBuffer()
                name.decimal(u64(number))
                if not sink.emit(name.to_bytes(), number_of(task.pid, FD_BASE + u64(number)), kind, self.position + 1):
                    return
            self.position += 1

    def _threads(self, task: Task, sink: DirSink) -> None:
        after = i32(self.position - 2)
        thread = ids.next_task(after)
        while thread is not None:
            if thread.group is task.group:
                name = TextBuffer()
                name.decimal(u64(thread.pid))
                if not sink.emit(name.to_bytes(), number_of(thread.pid, 0), DT_DIR, u64(thread.pid) + 2):
                    return
            self.position = u64(thread.pid) + 2
            thread = ids.next_task(thread.pid)


class FdLink(TaskInode):
    """/proc/PID/fd/N."""

    fd: Final[i32]

    def __init__(self, superblock: SuperBlock, task: Task, fd: i32) -> None:
        super().__init__(superblock, task, number_of(task.pid, FD_BASE + u64(fd)), S_IFLNK | 0o700)
        self.fd = fd

    def _file(self) -> File:
        task = task_of(self.pid)
        require_access(task)
        file = foreign.files_of(task).find(self.fd)
        if file is None:
            raise FileNotFoundError
        return file

    def magic_link(self) -> Path | None:
        """The file's place. A pipe or the like has none that could be opened anew: ENXIO."""
        path = self._file().path
        if path is None:
            return self._nameless()
        return path

    def _nameless(self) -> Path:
        """A place for an inode without a name, so that it can be opened again (/proc/self/fd/1 on a pipe)."""
        from kaa.kernel.fs import nameless

        return nameless.place(self._file())

    def readlink(self) -> bytes:
        """The name, or "pipe:[number]"."""
        file = self._file()
        path = file.path
        if path is not None:
            return path_text(path, machine.percpu.current().fs.root())
        inode = file.inode()
        if inode is None:
            return b"anon_inode:[unknown]"
        text = TextBuffer()
        if inode.mode & 0o170000 == 0o010000:
            text.add(b"pipe:[")
            text.decimal(inode.number)
            text.add(b"]")
        elif inode.mode & 0o170000 == 0o140000:
            text.add(b"socket:[")
            text.decimal(inode.number)
            text.add(b"]")
        else:
            text.add(b"anon_inode:[")
            text.add(file.kind_name())
            text.add(b"]")
        return text.to_bytes()


class FdInfo(TaskInode):
    """/proc/PID/fdinfo/N."""

    fd: Final[i32]

    def __init__(self, superblock: SuperBlock, task: Task, fd: i32) -> None:
        super().__init__(superblock, task, number_of(task.pid, FDINFO_BASE + u64(fd)), S_IFREG | 0o400)
        self.fd = fd

    def open(self, flags: u32, path: Path) -> File:
        """A text."""
        require_access(task_of(self.pid))
        return FdInfoFile(self, path, flags)


class FdInfoFile(GeneratedFile):
    """pos, flags, mnt_id, ino."""

    source: Final[FdInfo]

    def __init__(self, source: FdInfo, path: Path, flags: u32) -> None:
        super().__init__(source, path, flags)
        self.source = source

    def produce(self, out: TextBuffer) -> None:
        """As proc(5) has it."""
        file = foreign.files_of(task_of(self.source.pid)).find(self.source.fd)
        if file is None:
            raise FileNotFoundError
        out.add(b"pos:\t")
        out.decimal(file.position)
        out.add(b"\nflags:\t0")
        out.octal(u64(file.flags))
        out.add(b"\nmnt_id:\t")
        path = file.path
        out.decimal(u64(0) if path is None else u64(path.mount.number))
        inode = file.inode()
        if inode is not None:
            out.add(b"\nino:\t")
            out.decimal(inode.number)
        out.byte(10)
