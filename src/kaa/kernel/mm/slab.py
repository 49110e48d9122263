# SPDX-License-Identifier: Apache-2.0
"""Objects smaller than a page: the slab allocator (Bonwick, "The Slab Allocator", USENIX 1994), and the compiler's
hooks.

A `Cache` serves one size. It cuts frames into objects; the free objects of a frame are linked through their first
words. One frame of each cache is *active*: its free list is in the cache itself. The other frames keep their lists in
their descriptors: `mapping` the first free object, `mapcount` the number of objects in use (all of them, for the active
frame), `slab` the cache's number, and stand on the cache's `partial` list while some object is free. A frame none of
whose objects is used goes back to the buddy allocator.

In front of each cache stands, for each processor, a list of free objects (per_cpu.ObjectLists): allocating pops and
freeing pushes, without a lock. It is filled from the cache and emptied to it by batches.

Classes of the same rounded size share a cache, as buffers do: with a page per class the classes alone would not fit a
machine of 8 MiB. How many instances of each class live is counted, by each processor, for leak tests and
/proc/kaa/objects.

Sizes above LARGEST are runs of frames from the buddy allocator.

Locks: interrupts off for the processor's lists (references may be dropped in interrupts); each cache its own, inside.
Frames are taken from the buddy allocator under none, and given back under none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.spinlock import LeafLock
from kaa.kernel.mm import buddy, fault_injection, frame
from kaa.kernel.mm.frame import PAGE_SHIFT, PAGE_SIZE, SLAB, page
from kaa.kernel.mm.per_cpu import CLASSES, ObjectLists
from kaa.lang import (
    ZERO,
    Array,
    Atomic,
    Bytes,
    cold,
    export,
    guarded,
    inline,
    noinline,
    struct,
    u8,
    u32,
    u64,
    wrapping_add,
    wrapping_sub,
)
from kaa.lang.unsafe import Ptr, zero

SIZES: Final = (16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 672, 816, 1024, 1360,
                2048)  # fmt: skip
LARGEST: Final = 2048
WORD_MASK: Final = 0xFFFF_FFFF_FFFF_FFF8


MOST_KEPT: Final = 64
BATCH_BYTES: Final = 2048
"""What moves between a processor's list and the cache at once, in bytes."""


@guarded("self")
class Cache(LeafLock):
    """Objects of one size; its own lock."""

    free: u64
    """First free object of the active frame."""
    active: u64
    """The active frame; 0 at first."""
    size: Final[u32]
    number: Final[u32]
    per_frame: Final[u32]
    partial: u32
    """First frame of the partial list."""
    frames: u64
    """Frames held, for accounts."""
    batch: Final[u32]
    """Objects moved at once; a processor keeps at most twice as many."""

    def __init__(self, size: u32, number: u32) -> None:
        super().__init__("slab")
        self.free = 0
        self.active = 0
        self.size = size
        self.number = number
        self.per_frame = PAGE_SIZE // size
        self.batch = max(min(BATCH_BYTES // size, MOST_KEPT // 2), 2)
        self.partial = 0
        self.frames = 0

    @noinline
    def take_slowly(self) -> u64:
        """The processor's list is empty: an object, and a batch for the list; 0 without memory."""
        while True:
            flags = machine.irq.save()
            item = self._fetch(machine.percpu.here().objects)
            machine.irq.restore(flags)
            if item != 0:
                return item
            fresh = self._new_frame()
            if fresh == 0:
                return u64(0)
            self.acquire()
            self._link(fresh)
            self.release()

    def _fetch(self, lists: ObjectLists) -> u64:
        """Take a batch over into the processor's list, and one object of it; 0: there is none. Interrupts are off."""
        number = self.number
        head = lists.heads[number]
        count = lists.counts[number]
        self.acquire()
        while count <= self.batch:
            item = self._pop()
            if item == 0:
                break
            Ptr[u64](item)[0] = head
            head = item
            count += 1
        self.release()
        if head == 0:
            return u64(0)
        lists.heads[number] = Ptr[u64](head)[0]
        lists.counts[number] = count - 1
        return head

    def _pop(self) -> u64:
        """A free object; 0: none without a new frame. Under the lock."""
        if self.free == 0:
            if self.partial == 0:
                return u64(0)
            self._activate()
        item = self.free
        self.free = Ptr[u64](item)[0]
        return item

    @noinline
    def give_some(self, lists: ObjectLists, number: u32) -> None:
        """The processor keeps too many: so many of them come back. Interrupts are off."""
        kind = self.number
        unused: u64 = 0
        self.acquire()
        for _ in range(number):
            item = lists.heads[kind]
            lists.heads[kind] = Ptr[u64](item)[0]
            empty = self._push(item)
            if empty != 0:
                page(empty).next = unused
                unused = empty
        self.release()
        lists.counts[kind] = lists.counts[kind] - number
        while unused != 0:
            following = u64(page(unused).next)
            buddy.free_page(unused)
            unused = following

    def _push(self, item: u64) -> u64:
        """Take an object back; gives its frame if that is not used any more, and not the cache's either, else 0. Under
        the lock."""
        pfn = frame.pfn_at(item)
        if pfn == self.active:
            Ptr[u64](item)[0] = self.free
            self.free = item
            return u64(0)
        descriptor = page(pfn)
        head = descriptor.mapping
        Ptr[u64](item)[0] = head
        descriptor.mapping = item
        descriptor.mapcount -= 1
        if descriptor.mapcount == 0:
            if head != 0:
                self._unlink(pfn)
            self.frames -= 1
            return pfn
        if head == 0:
            self._link(pfn)
            self.frames -= 1
        return u64(0)

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


most_kept: Array[u32, 22] = Array[u32, 22]()
"""How many free objects of each kind a processor keeps."""
for _cache in caches:
    most_kept[_cache.number] = 2 * _cache.batch
FRAMES_FOR_EACH: Final = 1 << 9
"""On a machine of so many frames times n, a processor may keep n objects of any kind, up to MOST_KEPT, and 4 n small
ones, up to SMALL_BYTES."""
SMALL_BYTES: Final = 16384


def keep_more() -> None:
    """At boot: where memory is plenty, let processors keep as much as they give up at once (rcu.py)."""
    for cache in caches:
        share = u32(min(buddy.total_pages() // FRAMES_FOR_EACH, u64(SMALL_BYTES)))
        small = min(4 * share, SMALL_BYTES // cache.size)
        most_kept[cache.number] = max(2 * cache.batch, min(share, MOST_KEPT), small)


@inline
def _kind_of(size: u64) -> u32:
    """Which cache serves a size, up to LARGEST."""
    return u32(cache_of_size[(size + GRAIN - 1) // GRAIN])


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
    """The list of classes that ever had an instance; its own lock for additions."""

    lock: Final[LeafLock]
    last_class: Atomic[u64]

    def __init__(self) -> None:
        self.lock = LeafLock("classes in use")
        self.last_class = Atomic(0)


usage = Usage()


@cold
@noinline
def _remember(klass: Class, info: u64) -> None:
    """First instance of a class: put it on the list."""
    usage.lock.acquire()
    if klass.link == 0:
        last = usage.last_class.load_relaxed()
        klass.link = last + 1
        usage.last_class.store(info)
    usage.lock.release()


@export("kaa_object_alloc")
def object_alloc(info: u64) -> u64:
    """Zeroed memory for an instance of the class; 0 when there is none."""
    if fault_injection.armed() and fault_injection.should_fail():
        return u64(0)
    klass = Ptr[Class](info).place()
    size = u64(klass.size)
    identity = klass.id
    if size > LARGEST or identity >= CLASSES:
        return _make_unusual(klass, info, size)
    number = _kind_of(size)
    flags = machine.irq.save()
    lists = machine.percpu.here().objects
    where = lists.pop(number)
    if where != 0:
        lists.live[identity] = wrapping_add(lists.live[identity], u32(1))
        machine.irq.restore(flags)
    else:
        machine.irq.restore(flags)
        where = caches[number].take_slowly()
        if where == 0:
            return u64(0)
        _count(klass, u32(1))
    if klass.link == 0:
        _remember(klass, info)
    zero(where, (size + 7) & WORD_MASK)
    return where


@cold
@noinline
def _make_unusual(klass: Class, info: u64, size: u64) -> u64:
    """An instance of a class that is large, or that processors do not count."""
    where = _take(size) if size <= LARGEST else _take_large(size)
    if where != 0:
        _count(klass, u32(1))
        if klass.link == 0:
            _remember(klass, info)
        zero(where, (size + 7) & WORD_MASK)
    return where


@noinline
def _count(klass: Class, change: u32) -> None:
    """`change` instances more, modulo 2^32, by processor if they count the class."""
    if klass.id >= CLASSES:
        klass.live.fetch_add(change)
        return
    flags = machine.irq.save()
    lists = machine.percpu.here().objects
    lists.live[klass.id] = wrapping_add(lists.live[klass.id], change)
    machine.irq.restore(flags)


@export("kaa_object_free")
def object_free(info: u64, where: u64) -> None:
    """The instance is gone."""
    klass = Ptr[Class](info).place()
    size = u64(klass.size)
    identity = klass.id
    if size > LARGEST or identity >= CLASSES:
        _count(klass, u32(0xFFFF_FFFF))
        _give_any(size, where)
        return
    number = _kind_of(size)
    flags = machine.irq.save()
    lists = machine.percpu.here().objects
    lists.live[identity] = wrapping_sub(lists.live[identity], u32(1))
    if lists.push(number, where) > most_kept[number]:
        _give_batch(lists, number)
    machine.irq.restore(flags)


@export("kaa_buffer_alloc")
def buffer_alloc(size: u64) -> u64:
    """A zeroed raw buffer, 16-aligned; 0 when there is none."""
    if fault_injection.armed() and fault_injection.should_fail():
        return u64(0)
    where = _take(size) if size <= LARGEST else _take_large(size)
    if where != 0:
        _count_buffer(u64(1), size)
        zero(where, (size + 7) & WORD_MASK)
    return where


@export("kaa_buffer_free")
def buffer_free(where: u64, size: u64) -> None:
    """Give a buffer back; `size` is what was asked for."""
    _count_buffer(u64((1 << 64) - 1), wrapping_sub(u64(0), size))
    _give_any(size, where)


@inline
def _count_buffer(number: u64, size: u64) -> None:
    """One buffer more or (both numbers negative) less."""
    flags = machine.irq.save()
    lists = machine.percpu.here().objects
    lists.buffers = wrapping_add(lists.buffers, number)
    lists.bytes = wrapping_add(lists.bytes, size)
    machine.irq.restore(flags)


@inline
def _take(size: u64) -> u64:
    """A free object of such a size, contents undefined; 0 without memory."""
    number = _kind_of(size)
    flags = machine.irq.save()
    where = machine.percpu.here().objects.pop(number)
    machine.irq.restore(flags)
    return where if where != 0 else caches[number].take_slowly()


@inline
def _give_any(size: u64, where: u64) -> None:
    """Give an object or a run of frames back."""
    if size > LARGEST:
        buddy.free_run(frame.pfn_at(where), _pages(size))
        return
    number = _kind_of(size)
    flags = machine.irq.save()
    lists = machine.percpu.here().objects
    if lists.push(number, where) > most_kept[number]:
        _give_batch(lists, number)
    machine.irq.restore(flags)


@noinline
def _give_batch(lists: ObjectLists, number: u32) -> None:
    cache = caches[number]
    cache.give_some(lists, cache.batch)


def drain_here() -> None:
    """Give all free objects that this processor keeps to their caches."""
    flags = machine.irq.save()
    lists = machine.percpu.here().objects
    for cache in caches:
        if lists.counts[cache.number] != 0:
            cache.give_some(lists, lists.counts[cache.number])
    machine.irq.restore(flags)


def slab_pages() -> u64:
    """Frames held by slabs: Slab of /proc/meminfo."""
    total: u64 = 0
    for cache in caches:
        cache.acquire()
        total += cache.frames
        cache.release()
    return total


def _name(klass: Class) -> Bytes:
    text = Ptr[u8](klass.name)
    length: u64 = 0
    while text[length] != 0:
        length += 1
    return text.slice(length)


def classes() -> Iterator[tuple[Bytes, u64, u64]]:
    """(name, bytes of an instance, live instances) of each class that ever had one: /proc/kaa/objects."""
    info = usage.last_class.load()
    while info != 0:
        klass = Ptr[Class](info).place()
        yield _name(klass), u64(klass.size), _live(klass)
        info = klass.link - 1


def _live(klass: Class) -> u64:
    """Instances of a class that live: the sum over all processors."""
    from kaa.kernel.sched import cpu

    if klass.id >= CLASSES:
        return klass.live.load() & 0xFFFF_FFFF
    total: u32 = 0
    machine.percpu.preempt_disable()
    for other in cpu.every():
        total = wrapping_add(total, other.objects.live[klass.id])
    machine.percpu.preempt_enable()
    return u64(total)


def live_objects() -> u64:
    """Instances of all classes alive now: for leak tests."""
    total: u64 = 0
    for _name_of, _size_of, live in classes():
        total += live
    return total


def buffers() -> tuple[u64, u64]:
    """Raw buffers alive now, and their bytes."""
    from kaa.kernel.sched import cpu

    count: u64 = 0
    size: u64 = 0
    machine.percpu.preempt_disable()
    for other in cpu.every():
        count = wrapping_add(count, other.objects.buffers)
        size = wrapping_add(size, other.objects.bytes)
    machine.percpu.preempt_enable()
    return count, size


def report(put: Callable[[str], None]) -> None:
    """The lines of /proc/kaa/objects: class, live instances, bytes of one; then all raw buffers."""
    for name, size, live in classes():
        put(f"{name} {live} {size}\n")
    count, total = buffers()
    put(f"(buffers) {count} {total}\n")
