# SPDX-License-Identifier: Apache-2.0
"""What a futex word is called by: the address space and the address, or, in a shared mapping, the page cache and the
offset in it, so that processes that map it at different addresses meet (futex(2)).

Who keeps a key keeps what it names alive.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.process.task import Task
from kaa.lang import borrowed, inline, part, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.mm.page_cache import PageCache

BUCKETS: Final = 256


@part
class FutexKey:
    """What a futex word is called by. A waiter's own and a waker's are compared by `matches`."""

    space: AddressSpace | None
    cache: PageCache | None
    offset: u64

    def __init__(self) -> None:
        self.space = None
        self.cache = None
        self.offset = 0

    def set_private(self, space: AddressSpace, address: u64) -> None:
        """A word of private memory."""
        self.space = space
        self.cache = None
        self.offset = address

    def find(self, space: AddressSpace, address: u64) -> None:
        """A word that may lie in shared memory. Raises OSError(EFAULT) where nothing is mapped."""
        with space.lock.read():
            vma = space.find(address)
            if vma is None:
                raise OSError(errno.EFAULT)
            cache = vma.cache
            if vma.is_shared() and cache is not None:
                self.space = None
                self.cache = cache
                self.offset = address - vma.start + vma.offset
                return
        self.set_private(space, address)

    def matches(self, other: FutexKey) -> bool:
        """Whether both are one word."""
        return self.offset == other.offset and self.space is other.space and self.cache is other.cache

    def clear(self) -> None:
        """Let go of what it names."""
        self.space = None
        self.cache = None

    def copy_from(self, other: FutexKey) -> None:
        """Become equal to `other`."""
        self.space = other.space
        self.cache = other.cache
        self.offset = other.offset

    @inline
    def bucket(self) -> u64:
        """Index of its bucket."""
        return index_of(self.offset)


@inline
def index_of(offset: u64) -> u64:
    """Which bucket a word belongs to."""
    word = offset >> 2
    return (word ^ (word >> 8) ^ (word >> 15)) & (BUCKETS - 1)


@borrowed
def current_space(task: Task) -> AddressSpace:
    """The caller's memory, which only the caller gives up."""
    space = task.mm
    assert space is not None
    return space


@inline
def name(key: FutexKey, task: Task, address: u64, shared: bool) -> None:
    """Find what the caller's word at `address` is called by. Raises OSError(EINVAL) when it is not aligned, EFAULT."""
    require_word(address)
    space = current_space(task)
    if shared:
        key.find(space, address)
    else:
        key.set_private(space, address)


@inline
def require_word(address: u64) -> None:
    """Raises OSError(EINVAL) for an address that is not aligned, OSError(EFAULT) for one that is not the user's."""
    if (address & 3) != 0:
        raise OSError(errno.EINVAL)
    if not machine.user.valid(address, 4):
        raise OSError(errno.EFAULT)


def load(address: u64) -> u32:
    """The word, which may have to be paged in. Raises OSError(EFAULT)."""
    value = machine.user.load_user(address)
    if value < 0:
        raise OSError(errno.EFAULT)
    return u32(value)


def bring_in(address: u64) -> None:
    """A look or an exchange under a lock failed: have the page writable in memory, and let the caller try again. Raises
    OSError(EFAULT)."""
    value = load(address)
    if machine.user.cmpxchg_user(address, value, value) < 0:
        raise OSError(errno.EFAULT)
