# SPDX-License-Identifier: Apache-2.0
"""Files whose content is made when they are read: the stuff of procfs and sysfs.

A `Node` tree is built at import time (`tree.file("sys/kernel/ostype", show)`) and frozen; inodes are made of it as
names are looked up. A generated file makes its text at the first read and again whenever it is read from the start.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.dirent import type_of
from kaa.kernel.abi.stat import S_IFDIR, S_IFLNK, S_IFREG
from kaa.kernel.fs.file import File, SeekableFile
from kaa.kernel.fs.inode import Inode
from kaa.kernel.fs.paged import seek_in
from kaa.kernel.fs.text import CHUNK, TextBuffer, TextChunk
from kaa.kernel.fs.tmpfs.file import emit_dots
from kaa.lang import Array, Bytes, Guarded, i64, u8, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.dirent import DirSink
    from kaa.kernel.fs.path import Path
    from kaa.kernel.fs.superblock import SuperBlock
    from kaa.kernel.mm.user import UserBuf

SHORT = 64
"""Writes up to this long pass through the stack."""
UNSEEN_END = 0x7FFFFFFF


class Node:
    """A name in a tree that is known when the kernel is built."""

    name: Final[bytes]
    number: Final[u64]
    mode: Final[u32]
    show: Final[Callable[[TextBuffer], None] | None]
    store: Final[Callable[[Bytes], None] | None]
    target: Final[bytes]
    children: list[Node]

    def __init__(
        self,
        name: bytes,
        number: u64,
        mode: u32,
        show: Callable[[TextBuffer], None] | None,
        store: Callable[[Bytes], None] | None,
        target: bytes,
    ) -> None:
        self.name = name
        self.number = number
        self.mode = mode
        self.show = show
        self.store = store
        self.target = target
        self.children = []

    def produce(self, out: TextBuffer) -> None:
        """A generated file's text."""
        show = self.show
        if show is not None:
            show(out)

    def child(self, name: Bytes) -> Node | None:
        """By name."""
        for node in self.children:
            if node.name == name:
                return node
        return None


class Tree:
    """A tree of nodes, built at import."""

    root: Node
    last: u64

    def __init__(self, first_number: u64) -> None:
        self.root = Node(b"", first_number, S_IFDIR | 0o555, None, None, b"")
        self.last = first_number

    def _below(self, parent: Node, name: bytes, mode: u32) -> Node:
        found = parent.child(name)
        if found is None:
            self.last += 1
            found = Node(name, self.last, mode, None, None, b"")
            parent.children.append(found)
        return found

    def directory(self, path: str) -> Node:
        """Import time: the directory `path`, made with those above it."""
        node = self.root
        for part in path.encode().split(b"/"):
            if part:
                node = self._below(node, part, S_IFDIR | 0o555)
        return node

    def file(
        self,
        path: str,
        show: Callable[[TextBuffer], None],
        store: Callable[[Bytes], None] | None = None,
        mode: int = 0o444,
    ) -> None:
        """Import time: a generated file."""
        parent, _, name = path.rpartition("/")
        self.last += 1
        if store is not None:
            mode |= 0o200
        self.directory(parent).children.append(Node(name.encode(), self.last, S_IFREG | mode, show, store, b""))

    def link(self, path: str, target: str) -> None:
        """Import time: a symbolic link."""
        parent, _, name = path.rpartition("/")
        self.last += 1
        node = Node(name.encode(), self.last, S_IFLNK | 0o777, None, None, target.encode())
        self.directory(parent).children.append(node)


class GeneratedFile(SeekableFile):
    """An open file with a text of its own. Subclasses say what the text is, and what becomes of writes."""

    node: Final[Inode]
    text: Guarded[TextBuffer | None, "position_lock"] = None

    def __init__(self, node: Inode, path: Path, flags: u32) -> None:
        super().__init__(path, flags)
        self.node = node

    def produce(self, out: TextBuffer) -> None:
        """Write the text."""

    def consume(self, data: Bytes) -> None:
        """Take in what was written, in one piece."""
        raise OSError(errno.EINVAL)

    def inode(self) -> Inode | None:
        """The name's."""
        return self.node

    def read(self, buf: UserBuf) -> usize:
        """At the position."""
        with self.position_lock:
            done = self._read(buf, self.position)
            self.position += done
            return done

    def read_at(self, buf: UserBuf, offset: u64) -> usize:
        """pread(2)."""
        with self.position_lock:
            return self._read(buf, offset)

    def _read(self, buf: UserBuf, offset: u64) -> usize:
        """From the text, which is made anew for a read from the start."""
        text = self.text
        if text is None:
            text = TextBuffer()
            self.produce(text)
            self.text = text
        elif offset == 0:
            text.clear()
            self.produce(text)
        return text.copy_out(buf, offset)

    def write(self, buf: UserBuf) -> usize:
        """Hand over as one piece; at most 2000 bytes."""
        count = buf.remaining()
        if count > CHUNK:
            raise OSError(errno.EINVAL)
        if count <= SHORT:
            return self._write_short(buf)
        stage = TextChunk()
        buf.copy_in(stage.data[0:count])
        self.consume(stage.data[0:count])
        return count

    def _write_short(self, buf: UserBuf) -> usize:
        """Numbers and words need no memory: /proc/kaa/fail-nth could not be disarmed otherwise."""
        count = buf.remaining()
        stage = Array[u8, 64]()
        buf.copy_in(stage[0:count])
        self.consume(stage[0:count])
        return count

    def write_at(self, buf: UserBuf, offset: u64) -> usize:
        """As write: the offset means nothing."""
        return self.write(buf)

    def seek(self, offset: i64, whence: u32) -> u64:
        """lseek(2); there is no end to seek from."""
        if whence > 1:
            raise OSError(errno.EINVAL)
        with self.position_lock:
            return seek_in(self, offset, whence, u64(UNSEEN_END))

    def truncate(self, size: u64) -> None:
        """Programs open such files with O_TRUNC; it means nothing."""


class NodeFile(GeneratedFile):
    """Of a node."""

    source: Final[Node]

    def __init__(self, source: Node, node: Inode, path: Path, flags: u32) -> None:
        super().__init__(node, path, flags)
        self.source = source

    def produce(self, out: TextBuffer) -> None:
        """Ask the node."""
        self.source.produce(out)

    def consume(self, data: Bytes) -> None:
        """Tell the node."""
        store = self.source.store
        if store is None:
            raise OSError(errno.EACCES)
        store(data)


class NodeInode(Inode):
    """A node as an inode of one superblock."""

    source: Final[Node]

    def __init__(self, superblock: SuperBlock, source: Node) -> None:
        super().__init__(superblock, source.number, source.mode)
        self.source = source
        if self.is_directory():
            self.nlink = 2

    def lookup(self, name: Bytes) -> Inode:
        """A child."""
        found = self.source.child(name)
        if found is None:
            raise FileNotFoundError
        return NodeInode(self.superblock, found)

    def readlink(self) -> bytes:
        """The target."""
        return self.source.target

    def truncate(self, size: u64) -> None:
        """O_TRUNC means nothing."""

    def open(self, flags: u32, path: Path) -> File:
        """A directory to list, or a text."""
        if self.is_directory():
            return ListedDirectory(self, path, flags)
        return NodeFile(self.source, self, path, flags)

    def list(self, file: File, sink: DirSink) -> None:
        """Emit children from position 2 on."""
        emit_children(self.source, file, sink)


def emit_children(node: Node, file: File, sink: DirSink) -> bool:
    """The children of `node` at positions 2, 3…; False when the sink is full."""
    while file.position - 2 < len(node.children):
        child = node.children[file.position - 2]
        if not sink.emit(child.name, child.number, type_of(child.mode), file.position + 1):
            return False
        file.position += 1
    return True


class DirectoryFile(SeekableFile):
    """An open directory whose entries are made up: positions 0 and 1 are the dots, `entries` does the rest."""

    node: Final[Inode]

    def __init__(self, node: Inode, path: Path, flags: u32) -> None:
        super().__init__(path, flags)
        self.node = node

    def inode(self) -> Inode | None:
        """The directory."""
        return self.node

    def read(self, buf: UserBuf) -> usize:
        """Refused."""
        raise IsADirectoryError

    def read_at(self, buf: UserBuf, offset: u64) -> usize:
        """Refused."""
        raise IsADirectoryError

    def seek(self, offset: i64, whence: u32) -> u64:
        """To a position that getdents told."""
        if whence > 1:
            raise OSError(errno.EINVAL)
        with self.position_lock:
            return seek_in(self, offset, whence, u64(UNSEEN_END))

    def readdir(self, sink: DirSink) -> None:
        """The dots, then the entries."""
        with self.position_lock:
            if emit_dots(self, sink):
                self.entries(sink)

    def entries(self, sink: DirSink) -> None:
        """Emit from `position` (2 and up) on, moving it."""


class ListedDirectory(DirectoryFile):
    """Of a node."""

    source: Final[NodeInode]

    def __init__(self, source: NodeInode, path: Path, flags: u32) -> None:
        super().__init__(source, path, flags)
        self.source = source

    def entries(self, sink: DirSink) -> None:
        """Its children."""
        self.source.list(self, sink)
