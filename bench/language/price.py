# SPDX-License-Identifier: Apache-2.0
"""Five kernel-like functions in Kaa's Python; price.c has the same ones, written by hand in C.

Each case does its set-up, then its work between two markers, then emits a number that both sides must agree on. The
data structures, the algorithms and the errors that can happen are the same on both sides; what differs is that here
indexes are bounds-checked, arithmetic is overflow-checked, references are counted by the compiler, and errors are
exceptions. As in the kernel, the page allocator reaches its array of pages through a raw pointer (kaa.lang.unsafe).
"""

from __future__ import annotations

import errno
from typing import Final

from kaa.lang import (
    Array,
    Atomic,
    Bytes,
    Guarded,
    Slice,
    byteswap,
    noinline,
    sizeof,
    struct,
    trailing_zeros,
    u8,
    u16,
    u32,
    u64,
    usize,
    wrapping_add,
    wrapping_mul,
)
from kaa.lang.testing import barrier, emit, marker
from kaa.lang.unsafe import Ptr, address_of, allocate, release

# ---- 1. a buddy allocator: allocate and free
# --------------------------------------------------------------------------

ORDERS = 8
PAGES = 1024
NONE = 0xFFFF_FFFF


@struct
class Link:
    """A page's place in the free list of its order."""

    next: u32
    previous: u32
    order: u32
    free: bool


class Buddy:
    """Free blocks of 2**order pages, in one list per order."""

    heads: Array[u32, ORDERS]
    links: Ptr[Link]

    def __init__(self) -> None:
        self.heads = Array[u32, ORDERS]()
        self.links = Ptr[Link](allocate(PAGES * sizeof(Link)))
        for order in range(ORDERS):
            self.heads[order] = NONE
        for block in range(0, PAGES, 1 << (ORDERS - 1)):
            self.push(u32(block), ORDERS - 1)

    def __del__(self) -> None:
        release(self.links.address, PAGES * sizeof(Link))

    def push(self, pfn: u32, order: u32) -> None:
        head = self.heads[order]
        link = self.links[pfn]
        link.next = head
        link.previous = NONE
        link.order = order
        link.free = True
        if head != NONE:
            self.links[head].previous = pfn
        self.heads[order] = pfn

    def unlink(self, pfn: u32) -> None:
        link = self.links[pfn]
        link.free = False
        if link.previous == NONE:
            self.heads[link.order] = link.next
        else:
            self.links[link.previous].next = link.next
        if link.next != NONE:
            self.links[link.next].previous = link.previous

    @noinline
    def allocate(self, order: u32) -> u32:
        """The first page of a block. Raises MemoryError."""
        level = order
        while level < ORDERS:
            pfn = self.heads[level]
            if pfn != NONE:
                self.unlink(pfn)
                while level > order:
                    level -= 1
                    self.push(pfn + (1 << level), level)
                return pfn
            level += 1
        raise MemoryError

    @noinline
    def free(self, pfn: u32, order: u32) -> None:
        """Give a block back, joined with its buddies as far as they are free."""
        while order < ORDERS - 1:
            buddy = pfn ^ (1 << order)
            link = self.links[buddy]
            if not link.free or link.order != order:
                break
            self.unlink(buddy)
            pfn &= buddy
            order += 1
        self.push(pfn, order)


def case_buddy() -> None:
    buddy = Buddy()
    held = Array[u32, 64]()
    sum: u64 = 0
    marker()
    for n in range(64):
        barrier()
        held[n] = buddy.allocate(u32(n) % 3)
        sum += held[n]
    for n in range(64):
        barrier()
        buddy.free(held[n], u32(n) % 3)
    marker()
    emit(int(u32(sum)))


# ---- 2. a B-tree: look-up
# ---------------------------------------------------------------------------------------------

FANOUT = 16


class Node:
    """A node: `count` keys in order; inner nodes have a child per key (its keys are at most that key), leaves a
    value.
    """

    count: u32
    leaf: bool
    keys: Array[u64, FANOUT]
    values: Array[u64, FANOUT]
    children: Array[Node | None, FANOUT]

    def __init__(self, leaf: bool) -> None:
        self.count = 0
        self.leaf = leaf
        self.keys = Array[u64, FANOUT]()
        self.values = Array[u64, FANOUT]()
        self.children = Array[Node | None, FANOUT]()


def build(depth: u32, first: u64) -> Node:
    """A full subtree of keys first, first + 2, …"""
    node = Node(depth == 0)
    span: u64 = 2
    for _ in range(depth):
        span *= FANOUT
    for n in range(FANOUT):
        low = first + span * u64(n)
        node.keys[n] = low + span - 2
        if depth == 0:
            node.values[n] = low * 3
        else:
            node.children[n] = build(depth - 1, low)
    node.count = FANOUT
    return node


@noinline
def search(root: Node, key: u64) -> u64:
    """The value of a key. Raises FileNotFoundError."""
    node = root
    while True:
        slot: u32 = 0
        while slot < node.count and node.keys[slot] < key:
            slot += 1
        if slot == node.count:
            raise FileNotFoundError
        if node.leaf:
            if node.keys[slot] != key:
                raise FileNotFoundError
            return node.values[slot]
        child = node.children[slot]
        assert child is not None
        node = child


def case_tree() -> None:
    root = build(2, 0)
    sum: u64 = 0
    misses: u64 = 0
    key: u64 = 1
    marker()
    for _ in range(100):
        key = (key * 5 + 7) % 9000
        barrier()
        try:
            sum += search(root, key)
        except FileNotFoundError:
            misses += 1
    marker()
    emit(int(u32(sum + misses)))


# ---- 3. a path walk: hash of each component, look-up in the folder's dictionary
# ------------------------------------------


class Folder:
    """A directory: names and what they stand for."""

    number: u32
    children: dict[bytes, Folder]

    def __init__(self, number: u32) -> None:
        self.number = number
        self.children = {}


def add(parent: Folder, name: bytes, number: u32) -> Folder:
    made = Folder(number)
    parent.children[name] = made
    return made


@noinline
def walk(root: Folder, path: Bytes) -> u32:
    """The number of the folder at a path. Raises FileNotFoundError."""
    here = root
    start: usize = 0
    end: usize = len(path)
    while start < end:
        stop = start
        while stop < end and path[stop] != 0x2F:
            stop += 1
        if stop > start:
            child = here.children.get(path[start:stop])
            if child is None:
                raise FileNotFoundError
            here = child
        start = stop + 1
    return here.number


def case_path() -> None:
    root = Folder(1)
    library = add(add(root, b"usr", 2), b"lib", 3)
    packages = add(add(library, b"python3", 4), b"site-packages", 5)
    add(packages, b"kaa", 6)
    for name in (b"bin", b"dev", b"etc", b"home", b"opt", b"proc", b"root", b"run", b"sys", b"tmp", b"var"):
        add(root, name, 7)
    sum: u64 = 0
    marker()
    for _ in range(20):
        barrier()
        sum += walk(root, b"/usr/lib/python3/site-packages/kaa")
        try:
            sum += walk(root, b"/usr/lib/absent/file")
        except FileNotFoundError:
            sum += 100
    marker()
    emit(int(u32(sum)))


# ---- 4. the Internet checksum (RFC 1071)
# ---------------------------------------------------------------------------------


@noinline
def checksum(data: Bytes) -> u32:
    """The one's complement of the one's complement sum of the big-endian 16-bit words."""
    sum: u64 = 0
    at: usize = 0
    end: usize = len(data)
    while end - at >= 2:
        sum += u64(data[at]) << 8 | data[at + 1]
        at += 2
    if at < end:
        sum += u64(data[at]) << 8
    while sum > 0xFFFF:
        sum = (sum & 0xFFFF) + (sum >> 16)
    return u32(~sum) & 0xFFFF


@noinline
def checksum_words(data: Bytes) -> u32:
    """The same sum, four bytes at a time (RFC 1071, 2: in any byte order, in wider words), as kernels do it.

    2**32 words would have to be summed before a 64-bit sum wraps.
    """
    sum: u64 = 0
    left: usize = len(data)
    at = Ptr[u32](address_of(data))
    while left >= 4:
        sum = wrapping_add(sum, at[0])
        at = at + 1
        left -= 4
    rest = at.cast(u16)
    if left >= 2:
        sum += rest[0]
        rest = rest + 1
        left -= 2
    if left > 0:
        sum += rest.cast(u8)[0]
    while sum > 0xFFFF:
        sum = (sum & 0xFFFF) + (sum >> 16)
    return byteswap(u16(~sum))


def case_checksum_words() -> None:
    packet = Array[u8, 1499]()
    fill(packet[:])
    marker()
    sum = checksum_words(packet[:])
    barrier()
    sum += checksum_words(packet[:20])
    marker()
    emit(sum)


def fill(packet: Slice[u8]) -> None:
    state: u32 = 1
    for n in range(len(packet)):
        state = wrapping_mul(state, 1664525) ^ 1013904223
        packet[n] = u8(state >> 24)


def case_checksum() -> None:
    packet = Array[u8, 1499]()
    fill(packet[:])
    marker()
    sum = checksum(packet[:])
    barrier()
    sum += checksum(packet[:20])
    marker()
    emit(sum)


# ---- 5. a descriptor table: install and close under a lock
# ---------------------------------------------------------------

LIMIT = 64
ALL = 0xFFFF_FFFF_FFFF_FFFF


class SpinLock:
    """One word that is exchanged until it was free."""

    word: Atomic[u32]

    def __init__(self) -> None:
        self.word = Atomic(0)

    def __enter__(self) -> None:
        while self.word.exchange(1) != 0:
            pass

    def __exit__(self, *exc: object) -> None:
        self.word.store(0)


class File:
    position: u64 = 0
    flags: u32 = 0


class Descriptors:
    """Open files; bit n of `used` says that slot n is taken."""

    lock: Final[SpinLock]
    used: Guarded[u64, "lock"]
    slots: Guarded[Array[File | None, LIMIT], "lock"]

    def __init__(self) -> None:
        self.lock = SpinLock()
        self.used = 0
        self.slots = Array[File | None, LIMIT]()

    @noinline
    def install(self, file: File) -> u32:
        """The lowest free number, now the file's. Raises OSError(EMFILE)."""
        with self.lock:
            if self.used == ALL:
                raise OSError(errno.EMFILE)
            number = u32(trailing_zeros(u64(~self.used)))
            self.used |= 1 << u64(number)
            self.slots[number] = file
            return number

    @noinline
    def close(self, number: u32) -> None:
        """Raises OSError(EBADF)."""
        with self.lock:
            if number >= LIMIT or self.slots[number] is None:
                raise OSError(errno.EBADF)
            self.used &= ~(1 << u64(number))
            self.slots[number] = None


def case_descriptors() -> None:
    table = Descriptors()
    file = File()
    sum: u64 = 0
    marker()
    for _ in range(20):
        a = table.install(file)
        b = table.install(file)
        table.close(a)
        c = table.install(file)
        table.close(b)
        table.close(c)
        sum += a + b * 10 + c * 100
        try:
            table.close(c)
        except OSError:
            sum += 1000
    marker()
    emit(int(u32(sum)))
