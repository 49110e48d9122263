# SPDX-License-Identifier: Apache-2.0
"""A machine with a root file system and one task, under CPython: what file operations need."""

from __future__ import annotations

from typing import Any

import simulated as machine

from kaa.kernel.fs import devtmpfs, kernel_io  # noqa: F401  (registers its file system)
from kaa.kernel.fs.dentry import cache
from kaa.kernel.fs.descriptors import FileTable
from kaa.kernel.fs.mount import table
from kaa.kernel.fs.proc import root as proc_root  # noqa: F401
from kaa.kernel.fs.tmpfs import superblock as tmpfs  # noqa: F401
from kaa.kernel.mm.user import kernel_buffer
from kaa.kernel.process.credentials import Credentials
from kaa.lang import Array, Slice, u8


def boot(pages: int = 600) -> Any:
    """An empty root; gives the task, which is root."""
    cache.__init__()  # type: ignore[misc]
    table.__init__()  # type: ignore[misc]
    task = machine.boot(pages)
    task.pid = 7
    task.tgid = 7
    task.credentials = Credentials()
    task.files = FileTable()
    task.work = 0
    from kaa.kernel.locking.wait_queue import Waiter

    task.waiter = Waiter(task)
    task.lock_waiter = Waiter(task)
    task.fs = kernel_io.mount_root()
    return task


def view(data: bytes) -> Slice[Any]:
    """Bytes as kernel memory."""
    room: Any = Array[u8, max(len(data), 1)]()
    room[0 : len(data)].copy_from(data)
    return room[0 : len(data)]


def write(file: Any, data: bytes, offset: int | None = None) -> int:
    """write(2) or pwrite(2)."""
    buf = kernel_buffer(view(data))
    return file.write(buf) if offset is None else file.write_at(buf, offset)


def read(file: Any, count: int, offset: int | None = None) -> bytes:
    """read(2) or pread(2)."""
    room: Any = Array[u8, max(count, 1)]()
    buf = kernel_buffer(room[0:count])
    got = file.read(buf) if offset is None else file.read_at(buf, offset)
    return bytes(room[0:got])


def names(path: bytes) -> list[bytes]:
    """A directory's entries."""
    from kaa.kernel.fs.dirent import NameSink

    sink = NameSink()
    kernel_io.open_path(path, 0, 0).readdir(sink)
    return sink.names
