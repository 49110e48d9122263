# SPDX-License-Identifier: Apache-2.0
"""Sets of epoll(7) inside sets: no circles, and no deeper than DEPTH.

Asking a set asks the sets in it, and waking one wakes those it is in; so a chain of sets is a chain of calls on the
kernel's stack. How deep a chain would become is counted in both directions when a set is added to another, from what
is there at that moment: whoever builds from the outside in meets the limit as well.

Lock: `nesting`, a mutex, around such an addition as a whole, so that two of them cannot close a circle together; it
comes before any set's lock. It covers `EpollSet.holders`.
"""

from __future__ import annotations

import errno
import weakref
from typing import TYPE_CHECKING

from kaa.kernel.fs.epoll import EpollFile
from kaa.kernel.locking.mutex import Mutex
from kaa.lang import i32, recursive, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.epoll import EpollSet
    from kaa.kernel.fs.epoll_item import EpollItem

DEPTH = 5
"""Sets in a chain."""

nesting = Mutex("epoll nesting")


def add_set(outer: EpollFile, fd: i32, inner: EpollFile, events: u32, data: u64) -> None:
    """EPOLL_CTL_ADD of a set. Raises OSError(ELOOP), FileExistsError, MemoryError."""
    with nesting:
        below = depth_below(inner.set, outer, u32(1))
        if below > DEPTH or below + depth_above(outer.set, u32(1)) > DEPTH:
            raise OSError(errno.ELOOP)
        forget_gone(inner.set)
        item = outer.set.add(fd, inner, events, data)
        try:
            inner.set.holders.append(weakref.ref(item))
        except MemoryError:
            outer.set.remove(fd, inner)
            raise


@recursive(7, "it stops above DEPTH")
def depth_below(top: EpollSet, needle: EpollFile, level: u32) -> u32:
    """Sets in the longest chain from `top` down, itself included; more than DEPTH when that is too many, or when
    `needle` is among them."""
    if level > DEPTH or top is needle.set:
        return u32(DEPTH + 1)
    deepest: u32 = u32(0)
    with top.lock.nested():
        for first in top.items.values():
            item: EpollItem | None = first
            while item is not None:
                file = item.file()
                if isinstance(file, EpollFile):
                    deepest = max(deepest, depth_below(file.set, needle, level + 1))
                item = item.next
    return min(deepest, u32(DEPTH)) + 1


@recursive(7, "it stops above DEPTH")
def depth_above(bottom: EpollSet, level: u32) -> u32:
    """Sets in the longest chain from `bottom` up, itself included."""
    if level > DEPTH:
        return u32(DEPTH + 1)
    highest: u32 = u32(0)
    for holder in bottom.holders:
        item = holder()
        if item is not None and not item.gone.load_relaxed():
            highest = max(highest, depth_above(item.owner, level + 1))
    return min(highest, u32(DEPTH)) + 1


def forget_gone(inner: EpollSet) -> None:
    """Take out of the holders what is none any more."""
    index: u64 = u64(0)
    while index < len(inner.holders):
        item = inner.holders[index]()
        if item is None or item.gone.load_relaxed():
            inner.holders.pop(index)
        else:
            index += 1
