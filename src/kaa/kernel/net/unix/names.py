# SPDX-License-Identifier: Apache-2.0
"""From a name to who is bound to it: abstract names in a table of their own, path names by the inode they lead to.

A `Port` is the part of a bound socket that others may hold: it does not refer to the socket. Lock: `table.lock`."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import AT_FDCWD
from kaa.kernel.abi.stat import S_IFMT, S_IFSOCK
from kaa.kernel.arch import machine
from kaa.kernel.fs.at import start_of
from kaa.kernel.fs.calls.names import start_making, vacant
from kaa.kernel.fs.dentry import cache
from kaa.kernel.fs.namei import FOLLOW, Walk
from kaa.kernel.fs.open import umasked
from kaa.kernel.fs.path import Path
from kaa.kernel.fs.permission import WRITE, require
from kaa.kernel.locking.mutex import Mutex
from kaa.lang import Array, Atomic, Guarded, u8, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.net.unix.backlog import Backlog
    from kaa.kernel.net.unix.identity import Identity
    from kaa.kernel.net.unix.inbox import Inbox

AUTOMATIC = 0x100000
"""How many names bind(2) of an empty address chooses from: five hexadecimal digits."""


class Port:
    """Where a bound socket is reached."""

    kind: Final[u32]
    identity: Final[Identity]
    inbox: Final[Inbox | None]
    """Of a datagram socket."""
    backlog: Guarded[Backlog | None, "NameTable.lock"] = None
    """Once it listens."""
    path: Guarded[Path | None, "NameTable.lock"] = None
    inode: Guarded[Inode | None, "NameTable.lock"] = None
    next: Guarded[Port | None, "NameTable.lock"] = None

    def __init__(self, kind: u32, identity: Identity, inbox: Inbox | None) -> None:
        self.kind = kind
        self.identity = identity
        self.inbox = inbox


class NameTable:
    """Everything that is bound."""

    lock: Final[Mutex]
    abstract: Guarded[dict[bytes, Port], "lock"]
    by_inode: Guarded[dict[u64, Port], "lock"]
    """Heads of chains: numbers of different file systems may meet."""
    next_automatic: Atomic[u32]

    def __init__(self) -> None:
        self.lock = Mutex("socket names")
        self.abstract = {}
        self.by_inode = {}
        self.next_automatic = Atomic(1)

    def add_abstract(self, name: bytes, port: Port) -> None:
        """Raises OSError(EADDRINUSE), MemoryError."""
        with self.lock:
            if name in self.abstract:
                raise OSError(errno.EADDRINUSE)
            self.abstract[name] = port
            port.identity.name = name

    def add_path(self, name: bytes, port: Port, path: Path, inode: Inode) -> None:
        """Raises MemoryError."""
        with self.lock:
            port.next = self.by_inode.get(inode.number)
            self.by_inode[inode.number] = port
            port.path = path
            port.inode = inode
            port.identity.name = name

    def find_abstract(self, name: bytes) -> Port:
        """Raises ConnectionRefusedError."""
        with self.lock:
            port = self.abstract.get(name)
        if port is None:
            raise ConnectionRefusedError
        return port

    def find_inode(self, inode: Inode) -> Port:
        """Raises ConnectionRefusedError."""
        with self.lock:
            port = self.by_inode.get(inode.number)
            while port is not None and port.inode is not inode:
                port = port.next
        if port is None:
            raise ConnectionRefusedError
        return port

    def listen_at(self, port: Port, backlog: Backlog) -> None:
        """From now on connections are taken here."""
        with self.lock:
            port.backlog = backlog

    def backlog_at(self, port: Port) -> Backlog | None:
        """Where connections wait, if anybody listens."""
        with self.lock:
            return port.backlog

    def remove(self, port: Port) -> None:
        """Its socket is closed; the name in the file system stays (unix(7))."""
        with self.lock:
            inode = port.inode
            if inode is None:
                del self.abstract[port.identity.name]
            else:
                self._unchain(inode.number, port)

    def _unchain(self, number: u64, port: Port) -> None:
        entry = self.by_inode.get(number)
        following = port.next
        if entry is port:
            if following is None:
                del self.by_inode[number]
            else:
                self.by_inode[number] = following
            return
        while entry is not None:
            if entry.next is port:
                entry.next = following
                return
            entry = entry.next


table = NameTable()


def bind_path(name: bytes, port: Port) -> None:
    """Make the socket's inode and bind to it. Raises OSError(EADDRINUSE) where the name is taken, and what mknod(2)
    does. After a failure no name is left behind."""
    walk = Walk(start_of(AT_FDCWD, name), name, 0)
    try:
        start_making(walk)
        if walk.trailing:
            raise FileNotFoundError
        directory = walk.inode()
        with directory.lock:
            dentry = vacant(walk)
            made = directory.mknod(dentry.name, u32(S_IFSOCK) | umasked(0o777), u64(0))
            try:
                table.add_path(name, port, Path(walk.mount, dentry), made)
            except MemoryError:
                directory.unlink(dentry.name, made)
                raise
            cache.instantiate(dentry, made)
    except FileExistsError:
        raise OSError(errno.EADDRINUSE) from None


def find(name: bytes) -> Port:
    """Who is bound to a name. Raises ConnectionRefusedError where nobody is, PermissionError, and what
    path_resolution(7) does."""
    if name[0] == 0:
        return table.find_abstract(name)
    walk = Walk(start_of(AT_FDCWD, name), name, FOLLOW)
    walk.to_end()
    inode = walk.inode()
    require(inode, WRITE, machine.percpu.current().credentials)
    if inode.mode & S_IFMT != S_IFSOCK:
        raise ConnectionRefusedError
    return table.find_inode(inode)


def bind_automatic(port: Port) -> None:
    """bind(2) of an empty address: an abstract name of five hexadecimal digits (unix(7), "Autobind feature")."""
    digits = b"0123456789abcdef"
    text = Array[u8, 6]()
    for _ in range(AUTOMATIC):
        number = table.next_automatic.fetch_add(1)
        for place in range(5):
            text[5 - place] = digits[(number >> (4 * u32(place))) & 15]
        try:
            table.add_abstract(bytes(text[0:6]), port)
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.ENOSPC)
