# SPDX-License-Identifier: Apache-2.0
"""From a place back to its name: getcwd(2), the links in /proc, /proc/mounts. Written from the end, under the dentry
cache's lock."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.fs.dentry import Dentry, cache
from kaa.lang import Array, Bytes, u8, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.path import Path

ROOM = 4096


class BackwardText:
    """Text that grows at its front."""

    data: Array[u8, ROOM]
    start: usize
    overflowed: bool

    def __init__(self) -> None:
        self.data = Array[u8, ROOM]()
        self.start = ROOM
        self.overflowed = False

    def prepend(self, text: Bytes) -> None:
        """Put `text` in front."""
        if len(text) > self.start:
            self.overflowed = True
            return
        begin = self.start - len(text)
        self.data[begin : self.start].copy_from(text)
        self.start = begin

    def to_bytes(self) -> bytes:
        """What was written. Raises OSError(ENAMETOOLONG) if it did not fit."""
        if self.overflowed:
            raise OSError(errno.ENAMETOOLONG)
        return bytes(self.data[self.start : ROOM])


def climb(path: Path, root: Path, text: BackwardText) -> bool:
    """Write the way from `root` to `path`; False if `path` is not below it (the way then starts at its own top)."""
    with cache.lock.read():
        mount = path.mount
        dentry = path.dentry
        while True:
            if mount is root.mount and dentry is root.dentry:
                return True
            if dentry is mount.root:
                above = mount.parent
                point = mount.point
                if above is None or point is None:
                    return False
                mount = above
                dentry = point
                continue
            parent = dentry.parent
            if parent is None:
                return False
            text.prepend(dentry.name)
            text.prepend(b"/")
            dentry = parent


def climb_within(dentry: Dentry, text: BackwardText) -> None:
    """Write the way to a name from the root of its file system, whatever is mounted."""
    before = text.start
    with cache.lock.read():
        at: Dentry | None = dentry
        while at is not None:
            above = at.parent
            if above is not None:
                text.prepend(at.name)
                text.prepend(b"/")
            at = above
    if text.start == before:
        text.prepend(b"/")


def path_text(path: Path, root: Path) -> bytes:
    """The absolute name as /proc shows it: " (deleted)" behind a name that was taken away."""
    text = BackwardText()
    if path.dentry.dead:
        text.prepend(b" (deleted)")
    before = text.start
    climb(path, root, text)
    if text.start == before:
        text.prepend(b"/")
    return text.to_bytes()


def working_directory(path: Path, root: Path) -> bytes:
    """As getcwd(2): raises FileNotFoundError when removed; "(unreachable)" in front when outside the root."""
    if path.dentry.dead:
        raise FileNotFoundError
    text = BackwardText()
    inside = climb(path, root, text)
    if text.start == ROOM:
        text.prepend(b"/")
    if not inside:
        text.prepend(b"(unreachable)")
    return text.to_bytes()
