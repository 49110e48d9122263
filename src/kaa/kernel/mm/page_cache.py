# SPDX-License-Identifier: Apache-2.0
"""The page cache of one file: its pages by index, shared by read(2), write(2) and every mapping.

    PageCache(inode)          a file of a file system that lives in memory: absent pages are holes, none may be dropped
    cache.backed = True       pages can be read again (9p): clean ones may be reclaimed, dirty ones are written back
    PageCache(None)           shared anonymous memory: zeroes

A page comes into the tree LOCKED and without contents; `owner.read_page(index, pfn)` fills it, then it is UPTODATE. If
that fails the page leaves the tree, and others who waited for it try for themselves. The tree holds one reference to
each page; what `read`, `lookup` and `begin_fill` give is a reference of the caller's (frame.put_page).

A file system that reads ahead calls, from its read_page, `begin_fill(n)` for more pages, fills them, and `end_fill`
or `abandon`s each.

Page-table entries hold no reference to the pages that they show. A page that some entry may show is MAPPED, from
before the entry is made: `show` and `show_run` see to it that the page is in the cache still, under a `table_lock` that
is kept until the entry is there. Whoever takes a page out that is MAPPED holds it until file_mappings has found all
entries, each under that lock.

Locks: `lock` (spin) for the tree and the pages' flags of transition; never held while the owner reads or writes. Flags
of pages are atomic words, and LOCKED, DIRTY and CACHED come and go under `lock`, so that what `lock` finds true stays
true while it is held; that a page found by a reference alone is in the cache may be over the next moment.
The owner outlives its cache: whoever uses the cache holds the inode or a file or area that holds it.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.lib.radix_tree import RadixTree
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.kernel.mm import buddy, file_mappings, frame, reclaim, trimming
from kaa.kernel.mm.frame import (
    CACHED,
    DIRTY,
    FAILED,
    LOCKED,
    MAPPED,
    PAGE_SHIFT,
    PAGE_SIZE,
    REFERENCED,
    UNSEEN,
    UPTODATE,
    WRITEBACK,
    page,
)
from kaa.kernel.mm.links import CacheLinks
from kaa.lang import Atomic, Guarded, Slice, inline, noinline, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode

MAX_PAGES: Final = 1 << 32
"""Descriptors have 32 bits for the index: files end at 16 TiB."""
END: Final = 1 << 54
QUEUES: Final = 16

page_queues: list[WaitQueue] = [WaitQueue("page") for _ in range(QUEUES)]
"""Who waits for a LOCKED or WRITEBACK page, by frame number."""


class CachedPages:
    """All page caches together: Cached and Dirty of /proc/meminfo."""

    pages: Atomic[u64]
    dirty_pages: Atomic[u64]

    def __init__(self) -> None:
        self.pages = Atomic(0)
        self.dirty_pages = Atomic(0)

    @property
    def count(self) -> u64:
        """Pages in any cache."""
        return self.pages.load_relaxed()

    @property
    def dirty(self) -> u64:
        """Those that are newer than their files."""
        return self.dirty_pages.load_relaxed()


cached_pages = CachedPages()


class PageCache(CacheLinks):
    """One file's pages; see the module."""

    lock: Final[SpinLock]
    areas_lock: Final[Mutex]
    """Guards the tree of areas that map the file (file_mappings.py)."""
    tree: Guarded[RadixTree, "lock"]
    backed: bool = False
    count: Guarded[u64, "lock"] = 0
    complete: bool = False
    """The constructor did not run out of memory half-way."""

    def __init__(self, owner: Inode | None) -> None:
        self.lock = SpinLock("page cache")
        self.areas_lock = Mutex("areas of a file")
        self.tree = RadixTree()
        self.owner = owner
        self.complete = True

    def __del__(self) -> None:
        if self.complete:
            assert self.sharers is None, "no area shows its pages"
            _, held = self._leave_range(u64(0), u64(END))
            _let_go(held)

    def page_count(self) -> u64:
        """Pages in the tree."""
        with self.lock:
            return self.count

    def size_in_pages(self) -> u64:
        """Pages up to the end of the file; a mapping faults with SIGBUS beyond."""
        owner = self.owner
        if owner is None:
            return u64(MAX_PAGES)
        return (owner.size + (PAGE_SIZE - 1)) >> PAGE_SHIFT

    # -- looking

    @inline
    def find(self, index: u64) -> u64:
        """The page at index in whatever state, with a reference; 0 if none."""
        with self.lock:
            pfn = self.tree.get(index)
            if pfn != 0:
                frame.get_page(pfn)
        return pfn

    def lookup(self, index: u64) -> u64:
        """The page at index if it is there and up to date, with a reference; 0 if not. Never sleeps, never reads."""
        pfn = self.find(index)
        if pfn != 0:
            if frame.test_flags(pfn, UPTODATE):
                if not frame.test_flags(pfn, REFERENCED):
                    frame.set_flags(pfn, REFERENCED)
                return pfn
            frame.put_page(pfn)
        return u64(0)

    def read(self, index: u64) -> u64:
        """The page at index, up to date, with a reference; has the owner fill it if need be. Raises what the owner's
        read_page raises, MemoryError, OSError(EFBIG)."""
        pfn = self.lookup(index)
        while pfn == 0:
            pfn = self._bring_in(index)
        return pfn

    @noinline
    def _bring_in(self, index: u64) -> u64:
        """One try: fill a new page, or wait for whoever fills it already (then 0: look again)."""
        fresh = self.begin_fill(index)
        if fresh != 0:
            self._fill(index, fresh)
            return fresh
        pfn = self.find(index)
        if pfn != 0:
            wait_while(pfn, LOCKED)
            if frame.test_flags(pfn, UPTODATE):
                return pfn
            frame.put_page(pfn)
        return u64(0)

    def _fill(self, index: u64, pfn: u64) -> None:
        filled = False
        try:
            owner = self.owner
            if owner is None:
                frame.clear(pfn)
            else:
                owner.read_page(index, pfn)
                if self.backed:
                    machine.percpu.here().events.note_read()
            filled = True
        finally:
            if filled:
                self.end_fill(pfn)
            else:
                self.abandon(index, pfn)
                frame.put_page(pfn)

    # -- showing

    def show(self, pfn: u64) -> bool:
        """An entry that shows the page (a reference is held) is about to be made, under a `table_lock`. False if it is
        no longer in the cache."""
        with self.lock:
            if not frame.test_flags(pfn, CACHED):
                return False
            _note_mapped(pfn)
        return True

    def show_run(self, first: u64, end: u64, frames: Slice[u32]) -> None:
        """As show, of the pages [first, end) that are there and have their contents: their numbers into `frames`."""
        with self.lock:
            for index, pfn in self.tree.items(first, end):
                if frame.which_flags(pfn, UPTODATE | LOCKED) == UPTODATE:
                    _note_mapped(pfn)
                    frames[usize(index - first)] = u32(pfn)

    def note_unseen(self, pfn: u64) -> None:
        """No entry that was made before the page became UNSEEN shows it: if there are none since, it is not MAPPED.
        Under `lock`."""
        if frame.test_flags(pfn, UNSEEN):
            frame.clear_flags(pfn, MAPPED | UNSEEN)

    # -- filling

    def begin_fill(self, index: u64) -> u64:
        """A new page at index, LOCKED, contents undefined, with a reference; 0 if there is one already. Raises
        MemoryError, OSError(EFBIG)."""
        if index >= MAX_PAGES:
            raise OSError(errno.EFBIG)
        fresh = buddy.allocate_page()
        try:
            inserted = self._insert(index, fresh)
        except MemoryError:
            # The tree's node was wanted with preemption off, when nothing can be reclaimed. Once more, with room made.
            if not (reclaim.may_reclaim() and reclaim.free_some(u64(32)) > 0):
                frame.put_page(fresh)
                raise
            inserted = self._insert_or_free(index, fresh)
        if not inserted:
            frame.put_page(fresh)
            return u64(0)
        return fresh

    def _insert_or_free(self, index: u64, fresh: u64) -> bool:
        try:
            return self._insert(index, fresh)
        except MemoryError:
            frame.put_page(fresh)
            raise

    def _insert(self, index: u64, fresh: u64) -> bool:
        """Put the page into the tree, with a reference for the tree; False if there is one."""
        with self.lock:
            if self.tree.get(index) != 0:
                return False
            self.tree.set(index, fresh)
            frame.set_flags(fresh, CACHED | LOCKED)
            page(fresh).index = index
            frame.get_page(fresh)
            self.count += 1
            cached_pages.pages.fetch_add(1)
            if self.backed:
                reclaim.track(self, fresh)
        return True

    def end_fill(self, pfn: u64) -> None:
        """The page has its contents. The caller keeps its reference."""
        frame.set_flags(pfn, UPTODATE | REFERENCED)
        unlock_page(pfn)

    def abandon(self, index: u64, pfn: u64) -> None:
        """The page could not be filled: out of the tree, before anybody mapped it. The caller keeps its reference."""
        assert not frame.test_flags(pfn, MAPPED)
        with self.lock:
            present = self.tree.get(index) == pfn
            if present:
                self._leave(index, pfn)
        frame.set_flags(pfn, FAILED)
        unlock_page(pfn)
        if present:
            frame.put_page(pfn)

    # -- dropping

    def forget(self, index: u64) -> None:
        """Take the page at index out; the tree's reference is the caller's now. Under `lock`; off the list already."""
        pfn = self.tree.remove(index)
        frame.clear_flags(pfn, CACHED)
        self.count -= 1
        cached_pages.pages.fetch_sub(1)

    def _leave(self, index: u64, pfn: u64) -> None:
        """As forget, off the list of reclaimable pages too."""
        reclaim.untrack(pfn)
        if frame.test_flags(pfn, DIRTY):
            frame.clear_flags(pfn, DIRTY)
            cached_pages.dirty_pages.fetch_sub(1)
        self.forget(index)

    def _first_from(self, index: u64) -> tuple[u64, u64]:
        """(index, frame) of the first page at or after index; (0, 0) if there is none. Under `lock`."""
        for at, pfn in self.tree.items(index, u64(END)):
            return at, pfn
        return u64(0), u64(0)

    def punch(self, first: u64, end: u64) -> u64:
        """Let go of the whole pages [first, end), here and in all mappings; gives how many there were. Of a file that
        lives in memory they become holes (fallocate(2))."""
        dropped, held = self._leave_range(first, end)
        file_mappings.unmap_range(self, first, end)
        _let_go(held)
        return dropped

    def _leave_range(self, first: u64, end: u64) -> tuple[u64, u64]:
        """Take the pages [first, end) out: how many, and the first of those that are held still, as entries may show
        them. Takes the lock for a page at a time: files may be large."""
        index = first
        dropped: u64 = 0
        held: u64 = 0
        while True:
            with self.lock:
                index, pfn = self._first_from(index)
                if pfn == 0 or index >= end:
                    return dropped, held
                self._leave(index, pfn)
            dropped += 1
            if frame.test_flags(pfn, MAPPED):
                page(pfn).next = held
                held = pfn
            else:
                frame.put_page(pfn)

    def truncate(self, new_size: u64) -> u64:
        """The file is `new_size` bytes long (the owner says so already): drop the pages beyond, here and in all
        mappings, and clear the rest of the last page, so that nothing old shows up when the file grows again. Gives how
        many pages left the cache."""
        first = (new_size + (PAGE_SIZE - 1)) >> PAGE_SHIFT
        dropped = self.punch(first, u64(END))
        tail = new_size & (PAGE_SIZE - 1)
        if tail != 0:
            pfn = self.lookup(new_size >> PAGE_SHIFT)
            if pfn != 0:
                frame.contents(pfn)[tail:PAGE_SIZE].fill(0)
                frame.put_page(pfn)
        return dropped

    def invalidate(self, first: u64, end: u64) -> None:
        """Drop clean, unmapped, unused pages of [first, end): the file changed elsewhere, or POSIX_FADV_DONTNEED."""
        index = first
        while self.backed:
            with self.lock:
                index, pfn = self._first_from(index)
                if pfn == 0 or index >= end:
                    return
                mapped = frame.test_flags(pfn, MAPPED)
                idle = self.is_idle(pfn, u32(1))
                if idle:
                    self._leave(index, pfn)
            if idle:
                frame.put_page(pfn)
            elif mapped:
                self._invalidate_mapped(index)
            index += 1

    def _invalidate_mapped(self, index: u64) -> None:
        """As invalidate, of a page that was mapped at some time, if it is there still."""
        with self.areas_lock:
            pfn = self.find(index)
            if pfn == 0:
                return
            shown = trimming.is_shown(self, pfn)
            with self.lock:
                if not shown:
                    self.note_unseen(pfn)
                idle = self.tree.get(index) == pfn and self.is_idle(pfn, u32(2))
                if idle:
                    self._leave(index, pfn)
            if idle:
                frame.put_page(pfn)
            frame.put_page(pfn)

    def is_idle(self, pfn: u64, references: u32) -> bool:
        """Whether a page is up to date and clean, nobody has more than so many references and nothing shows it: it can
        go. Under `lock`."""
        return (
            frame.refcount(pfn) == references
            and frame.test_flags(pfn, UPTODATE)
            and not frame.test_flags(pfn, DIRTY | LOCKED | WRITEBACK | MAPPED)
        )

    # -- writing

    def mark_dirty(self, pfn: u64) -> None:
        """The page (a reference is held) was or is about to be written to."""
        if frame.test_flags(pfn, DIRTY):
            return
        with self.lock:
            if frame.test_flags(pfn, CACHED) and not frame.test_flags(pfn, DIRTY):
                frame.set_flags(pfn, DIRTY)
                cached_pages.dirty_pages.fetch_add(1)

    def write_back(self, first: u64, end: u64) -> None:
        """Give the dirty pages of [first, end) to the owner. Raises what write_page raises: that page stays dirty."""
        index = first
        while self.backed:
            with self.lock:
                pfn = self._first_dirty(index, end)
                if pfn == 0:
                    return
                index = u64(page(pfn).index)
                frame.get_page(pfn)
            try:
                self._write_page(index, pfn)
            finally:
                frame.put_page(pfn)
            index += 1

    def _first_dirty(self, first: u64, end: u64) -> u64:
        for _, pfn in self.tree.items(first, end):
            if frame.test_flags(pfn, DIRTY):
                return pfn
        return u64(0)

    def _write_page(self, index: u64, pfn: u64) -> None:
        """DIRTY goes before the mappings are write-protected: a store in between is noticed by neither, but is in the
        page before write_page reads it."""
        wait_while(pfn, WRITEBACK)
        with self.lock:
            if not frame.test_flags(pfn, DIRTY) or not frame.test_flags(pfn, CACHED):
                return
            frame.clear_flags(pfn, DIRTY)
            frame.set_flags(pfn, WRITEBACK)
            cached_pages.dirty_pages.fetch_sub(1)
        written = False
        try:
            file_mappings.write_protect(self, index)
            owner = self.owner
            if owner is not None:
                owner.write_page(index, pfn)
            written = True
        finally:
            frame.clear_flags(pfn, WRITEBACK)
            page_queues[pfn % QUEUES].wake_all()
            if not written:
                self.mark_dirty(pfn)


@inline
def _note_mapped(pfn: u64) -> None:
    """Under the lock of the page's cache. Most often there is nothing to write: processors that map a page side by side
    share its descriptor's line."""
    if frame.which_flags(pfn, MAPPED | UNSEEN) != MAPPED:
        frame.set_flags(pfn, MAPPED)
        frame.clear_flags(pfn, UNSEEN)


def _let_go(held: u64) -> None:
    """Nothing shows them any more: give back the references to pages that are linked by `next`."""
    while held != 0:
        following = u64(page(held).next)
        frame.put_page(held)
        held = following


def unlock_page(pfn: u64) -> None:
    """The page is no longer LOCKED."""
    frame.clear_flags(pfn, LOCKED)
    page_queues[pfn % QUEUES].wake_all()


def wait_while(pfn: u64, flag: u64) -> None:
    """Sleep until the page (a reference is held) has lost the flag."""
    if frame.test_flags(pfn, flag):
        page_queues[pfn % QUEUES].wait_until(lambda: not frame.test_flags(pfn, flag))
