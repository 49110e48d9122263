# SPDX-License-Identifier: Apache-2.0
"""Objects smaller than a page: the slab allocator (Bonwick, "The Slab Allocator", USENIX 1994), and the compiler's
hooks.

A `Cache` serves one size. It cuts frames into objects; the free objects of a frame are linked through their first
words. One frame of each cache is *active*: its free list is in the cache itself, so that allocating pops and freeing
pushes it. The other frames keep their lists in their descriptors: `mapping` the first free object, `mapcount` the
number of objects in use (all of them, for the active frame), `slab` the cache's number, and stand on the cache's
`partial` list while some object is free. A frame none of whose objects is used goes back to the buddy allocator.

Classes of the same rounded size share a cache, as buffers do: with a page per class the classes alone would not fit a
machine of 8 MiB. How many instances of each class live is counted in its ClassInfo, for leak tests and
/proc/kaa/objects.

Sizes above LARGEST are runs of frames from the buddy allocator.

Locks: each cache its own (interrupts off: references may be dropped in interrupts). The buddy's zone is taken under
none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from kaa.kernel.locking.spinlock import LeafLock
from kaa.kernel.mm import buddy, fault_injection, frame
from kaa.kernel.mm.frame import PAGE_SHIFT, PAGE_SIZE, SLAB, page
from kaa.lang import ZERO, Array, Atomic, Bytes, cold, export, inline, noinline, struct, u8, u32, u64
from kaa.lang.unsafe import Ptr, zero

SIZES: Final = (16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 672, 816, 1024, 1360,
                2048)  # fmt: skip
LARGEST: Final = 2048
WORD_MASK: Final = 0xFFFF_FFFF_FFFF_FFF8


class Cache(LeafLock):
    """Objects of one size; its own lock."""

    free: u64
    """First free object of the active frame."""
    active: u64
    """The active frame; 0 at first."""
    size: u32
    number: u32
    per_frame: u32
    partial: u32
    """First frame of the partial list."""
    frames: u64
    """Frames held, for accounts."""

    def __init__(self, size: u32, number: u32) -> None:
        super().__init__("slab")
        self.free = 0
        self.active = 0
        self.size = size
        self.number = number
        self.per_frame = PAGE_SIZE // size
        self.partial = 0
        self.frames = 0

    @inline
    def take(self) -> u64:
        """A free object, contents undefined; 0 without memory."""
        self.acquire()
        item = self.free
        if item == 0:
            return self._take_slowly()
        self.free = Ptr[u64](item)[0]
        self.release()
        return item

    @inline
    def give(self, item: u64) -> None:
        """Give an object back."""
        self.acquire()
        if frame.pfn_at(item) == self.active:
            Ptr[u64](item)[0] = self.free
            self.free = item
            self.release()
        else:
            self._give_slowly(item)

    @noinline
    def _take_slowly(self) -> u64:
        """The active frame is used up: activate a partial one or a new one. Called with the lock, gives it back."""
        if self.partial == 0:
            self.release()
            fresh = self._new_frame()
            if fresh == 0:
                return u64(0)
            self.acquire()
            self._link(fresh)
        if self.free == 0:
            self._activate()
        item = self.free
        self.free = Ptr[u64](item)[0]
        self.release()
        return item

    def _activate(self) -> None:
        """Make the first partial frame the active one. The frame that was active has no free object left."""
        pfn = u64(self.partial)
        self._unlink(pfn)
        descriptor = page(pfn)
        self.free = descriptor.mapping
        descriptor.mapping = 0
        descriptor.mapcount = self.per_frame
        self.active = pfn

    def _new_frame(self) -> u64:
        """A frame cut into free objects; 0 without memory."""
        try:
            pfn = buddy.allocate_page()
        except MemoryError:
            return u64(0)
        first = frame.address(pfn)
        item = first
        for _ in range(self.per_frame - 1):
            Ptr[u64](item)[0] = item + self.size
            item += self.size
        Ptr[u64](item)[0] = 0
        descriptor = page(pfn)
        descriptor.flags.store_relaxed(SLAB)
        descriptor.slab = self.number
        descriptor.mapping = first
        descriptor.mapcount = 0
        return pfn

    @noinline
    def _give_slowly(self, item: u64) -> None:
        """An object of a frame that is not active. Called with the lock, gives it back."""
        pfn = frame.pfn_at(item)
        descriptor = page(pfn)
        head = descriptor.mapping
        Ptr[u64](item)[0] = head
        descriptor.mapping = item
        descriptor.mapcount -= 1
        if descriptor.mapcount == 0:
            if head != 0:
                self._unlink(pfn)
            self.frames -= 1
            self.release()
            buddy.free_page(pfn)
            return
        if head == 0:
            self._link(pfn)
            self.frames -= 1
        self.release()

    def _link(self, pfn: u64) -> None:
        descriptor = page(pfn)
        descriptor.previous = 0
        descriptor.next = self.partial
        if self.partial != 0:
            page(u64(self.partial)).previous = pfn
        self.partial = pfn
        self.frames += 1

    def _unlink(self, pfn: u64) -> None:
        descriptor = page(pfn)
        if descriptor.previous == 0:
            self.partial = descriptor.next
        else:
            page(u64(descriptor.previous)).next = descriptor.next
        if descriptor.next != 0:
            page(u64(descriptor.next)).previous = descriptor.previous


caches: list[Cache] = [Cache(u32(_size), u32(_number)) for _number, _size in enumerate(SIZES)]

GRAIN: Final = 16
cache_of_size: Array[u8, 129] = Array[u8, 129]()
"""Cache number by (size + 15) // 16."""
for _steps in range(129):
    cache_of_size[_steps] = next(n for n, size in enumerate(SIZES) if size >= _steps * GRAIN)


@inline
def _cache_for(size: u64) -> Cache:
    return caches[cache_of_size[(size + GRAIN - 1) // GRAIN]]


def _pages(size: u64) -> u64:
    return (size + PAGE_SIZE - 1) >> PAGE_SHIFT


@noinline
def _take_large(size: u64) -> u64:
    """A run of frames; 0 without memory."""
    if size > (PAGE_SIZE << buddy.MAX_ORDER):
        return u64(0)
    try:
        return frame.address(buddy.allocate_run(_pages(size)))
    except MemoryError:
        return u64(0)


@struct
class Class:
    """The runtime's ClassInfo of a class (kaa.lang.unsafe), as this module counts in it."""

    name: u64 = ZERO
    size: u32 = ZERO
    id: u32 = ZERO
    live: Atomic[u64] = ZERO
    link: u64 = ZERO
    """Address of the class that was first used before this one, plus 1; 0: not used yet."""
    drop: u64 = ZERO


class Usage:
    """Counts for /proc and leak tests, and the list of classes that ever had an instance."""

    last_class: u64 = 0
    buffers: Atomic[u64]
    bytes: Atomic[u64]

    def __init__(self) -> None:
        self.buffers = Atomic(0)
        self.bytes = Atomic(0)


usage = Usage()


@cold
@noinline
def _remember(klass: Class, info: u64) -> None:
    """First instance of a class: put it on the list. Two tasks at once would at worst lose one line of a report."""
    klass.link = usage.last_class + 1
    usage.last_class = info


@export("kaa_object_alloc")
def object_alloc(info: u64) -> u64:
    """Zeroed memory for an instance of the class; 0 when there is none."""
    if fault_injection.armed() and fault_injection.should_fail():
        return u64(0)
    klass = Ptr[Class](info).place()
    size = u64(klass.size)
    where = _cache_for(size).take() if size <= LARGEST else _take_large(size)
    if where != 0:
        klass.live.fetch_add(1)
        if klass.link == 0:
            _remember(klass, info)
        zero(where, (size + 7) & WORD_MASK)
    return where


@export("kaa_object_free")
def object_free(info: u64, where: u64) -> None:
    """The instance is gone."""
    klass = Ptr[Class](info).place()
    size = u64(klass.size)
    klass.live.fetch_sub(1)
    if size <= LARGEST:
        _cache_for(size).give(where)
    else:
        buddy.free_run(frame.pfn_at(where), _pages(size))


@export("kaa_buffer_alloc")
def buffer_alloc(size: u64) -> u64:
    """A zeroed raw buffer, 16-aligned; 0 when there is none."""
    if fault_injection.armed() and fault_injection.should_fail():
        return u64(0)
    where = _cache_for(size).take() if size <= LARGEST else _take_large(size)
    if where != 0:
        usage.buffers.fetch_add(1)
        usage.bytes.fetch_add(size)
        zero(where, (size + 7) & WORD_MASK)
    return where


@export("kaa_buffer_free")
def buffer_free(where: u64, size: u64) -> None:
    """Give a buffer back; `size` is what was asked for."""
    usage.buffers.fetch_sub(1)
    usage.bytes.fetch_sub(size)
    if size <= LARGEST:
        _cache_for(size).give(where)
    else:
        buddy.free_run(frame.pfn_at(where), _pages(size))


def slab_pages() -> u64:
    """Frames held by slabs: Slab of /proc/meminfo."""
    total: u64 = 0
    for cache in caches:
        total += cache.frames
    return total


def _name(klass: Class) -> Bytes:
    text = Ptr[u8](klass.name)
    length: u64 = 0
    while text[length] != 0:
        length += 1
    return text.slice(length)


def classes() -> Iterator[tuple[Bytes, u64, u64]]:
    """(name, bytes of an instance, live instances) of each class that ever had one: /proc/kaa/objects."""
    info = usage.last_class
    while info != 0:
        klass = Ptr[Class](info).place()
        yield _name(klass), u64(klass.size), klass.live.load()
        info = klass.link - 1


def live_objects() -> u64:
    """Instances of all classes alive now: for leak tests."""
    total: u64 = 0
    for _name_of, _size_of, live in classes():
        total += live
    return total


def report(put: Callable[[str], None]) -> None:
    """The lines of /proc/kaa/objects: class, live instances, bytes of one; then all raw buffers."""
    for name, size, live in classes():
        put(f"{name} {live} {size}\n")
    put(f"(buffers) {usage.buffers.load()} {usage.bytes.load()}\n")
