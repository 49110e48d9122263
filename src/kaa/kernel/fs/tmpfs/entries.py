# SPDX-License-Identifier: Apache-2.0
"""The entries of a tmpfs directory: found by name, listed in a stable order.

Each entry gets a cookie when it is added; cookies only grow, and the list is sorted by them. A reader's position is the
cookie of the next entry it wants, so entries that come and go meanwhile neither repeat nor hide others (POSIX,
readdir). Removed entries stay in the list as husks until they are half of it. The directory's lock is held throughout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.lang import Bytes, inline, part, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode

FIRST_COOKIE = 2
"""0 is ".", 1 is ".."."""


@part
class Entry:
    """A name and its inode; None once removed."""

    name: bytes
    cookie: u64
    inode: Inode | None

    def __init__(self, name: bytes, cookie: u64, inode: Inode) -> None:
        self.name = name
        self.cookie = cookie
        self.inode = inode


@part
class EntryList:
    """By name, and in order of cookies. Part of its directory."""

    names: dict[bytes, Entry]
    order: list[Entry]
    next_cookie: u64
    husks: usize

    def __init__(self) -> None:
        self.names = {}
        self.order = []
        self.next_cookie = FIRST_COOKIE
        self.husks = 0

    def __len__(self) -> usize:
        return len(self.names)

    def has(self, name: Bytes) -> bool:
        """Whether the name is taken."""
        return name in self.names

    @inline
    def _entry(self, name: Bytes) -> Entry | None:
        return self.names.get(name)  # pyright: ignore[reportArgumentType] - a dict of bytes is asked by view

    def find(self, name: Bytes) -> Inode:
        """Raises FileNotFoundError."""
        entry = self._entry(name)
        if entry is None:
            raise FileNotFoundError
        inode = entry.inode
        if inode is None:
            raise FileNotFoundError
        return inode

    def add(self, name: bytes, inode: Inode) -> None:
        """A new name. Raises MemoryError, and then nothing has changed."""
        entry = Entry(name, self.next_cookie, inode)
        self.order.append(entry)
        try:
            self.names[name] = entry
        except MemoryError:
            self.order.pop()
            raise
        self.next_cookie += 1

    def replace(self, name: Bytes, inode: Inode) -> None:
        """Let an existing name mean another inode."""
        entry = self._entry(name)
        assert entry is not None
        entry.inode = inode

    def remove(self, name: Bytes) -> None:
        """Take a name out."""
        entry = self._entry(name)
        assert entry is not None
        entry.inode = None
        del self.names[name]  # pyright: ignore[reportArgumentType] - as above
        self.husks += 1
        while len(self.order) > 0 and self.order[len(self.order) - 1].inode is None:
            self.order.pop()
            self.husks -= 1
        if self.husks > 16 and self.husks * 2 > len(self.order):
            self._compact()

    def _compact(self) -> None:
        kept: usize = usize(0)
        for index in range(len(self.order)):
            entry = self.order[index]
            if entry.inode is not None:
                self.order[kept] = entry
                kept += 1
        while len(self.order) > kept:
            self.order.pop()
        self.husks = 0

    def index_from(self, cookie: u64) -> usize:
        """The index in `order` of the first entry at or after `cookie` (binary search)."""
        low: usize = usize(0)
        high: usize = len(self.order)
        while low < high:
            middle = (low + high) // 2
            if self.order[middle].cookie < cookie:
                low = middle + 1
            else:
                high = middle
        return low
