# SPDX-License-Identifier: Apache-2.0
"""What several tasks share of a file system: pipes, locks, descriptors, names; each against a simple model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import fs_world as world
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.kernel.abi.epoll import EPOLLET
from kaa.kernel.fs import epoll, kernel_io
from kaa.kernel.fs.calls import names
from kaa.kernel.fs.dentry import cache
from kaa.kernel.fs.descriptors import FileTable
from kaa.kernel.fs.epoll import EpollFile
from kaa.kernel.fs.epoll_nesting import DEPTH, add_set
from kaa.kernel.fs.eventfd import EventFile
from kaa.kernel.fs.locks import FLOCK, POSIX, Lock, LockList
from kaa.kernel.fs.name_shrinker import NameShrinker  # noqa: F401  (registers itself)
from kaa.kernel.fs.namei import Walk
from kaa.kernel.fs.pipe import Pipe
from kaa.kernel.fs.tmpfs.superblock import LARGEST, parse_size
from kaa.kernel.mm import reclaim
from kaa.kernel.mm.user import kernel_buffer
from kaa.kernel.net.byte_ring import CAPACITY, ByteRing
from kaa.lang import Array, u8, u64

RESIZES = st.tuples(st.just("resize"), st.sampled_from([4096, 8192, 16384, 65536]))
MOVES = st.tuples(st.sampled_from(["read", "write"]), st.integers(1, 12000))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(RESIZES, MOVES), max_size=40))
def test_a_pipe_that_is_resized_at_any_moment_keeps_its_bytes_and_each_frame_once(steps: list[tuple[str, int]]) -> None:
    world.boot()
    pipe = Pipe()
    pipe.readers.store(1)
    pipe.writers.store(1)
    model = bytearray()
    counter = 0
    for what, count in steps:
        if what == "resize":
            try:
                pipe.resize(count, False)
            except OSError:
                assert len(model) > count - 4096
        elif what == "write":
            data = bytes((counter + i) % 251 for i in range(count))
            try:
                done = pipe.write(kernel_buffer(world.view(data)), True)
            except BlockingIOError:
                continue
            model += data[:done]
            counter += done
        elif model:
            room: Any = Array[u8, count]()
            done = pipe.read(kernel_buffer(room[:]), True)
            assert bytes(room[0:done]) == bytes(model[:done])
            del model[:done]
        frames = [pfn for pfn in pipe.frames if pfn != 0]
        assert len(frames) == len(set(frames))
        assert pipe.used == len(model)


BYTE = st.integers(0, 12)
LOCKS = st.tuples(st.sampled_from(["shared", "exclusive", "clear"]), st.integers(1, 3), BYTE, BYTE)


@settings(max_examples=80, deadline=None)
@given(st.lists(LOCKS, max_size=30))
def test_record_locks_are_what_each_byte_says(steps: list[tuple[str, int, int, int]]) -> None:
    """The model: for each byte and owner, the mode it is held in."""
    world.boot()
    locks = LockList()
    model: dict[tuple[int, int], bool] = {}
    for what, owner, one, other in steps:
        start, end = min(one, other), max(one, other)
        span = range(start, end + 1)
        if what == "clear":
            locks.clear(POSIX, owner, start, end)
            for at in span:
                model.pop((owner, at), None)
            continue
        wanted = Lock(POSIX, owner, owner, what == "exclusive", start, end)
        stands = any(
            holder != owner and at in span and (held or what == "exclusive") for (holder, at), held in model.items()
        )
        assert (locks.blocker(wanted) is not None) == stands
        if not stands:
            locks.set(wanted)
            model.update({(owner, at): what == "exclusive" for at in span})
    found = {(lock.owner, at): lock.exclusive for lock in locks.held for at in range(lock.start, lock.end + 1)}
    assert found == model
    assert sum(lock.end - lock.start + 1 for lock in locks.held) == len(model)


def test_the_lock_that_starts_first_is_told_of() -> None:
    world.boot()
    locks = LockList()
    locks.set(Lock(POSIX, 1, 1, True, 50, 60))
    locks.set(Lock(POSIX, 1, 1, True, 10, 20))
    found = locks.blocker(Lock(POSIX, 2, 2, True, 0, 100))
    assert found is not None and found.start == 10
    assert locks.blocker(Lock(FLOCK, 2, 2, True, 0, 100)) is None


def test_a_descriptor_is_withdrawn_only_while_it_is_the_files_own() -> None:
    task = world.boot()
    table = FileTable()
    task.files = table
    mine, other = (EventFile(0, 0, False) for _ in range(2))
    fd = table.install(mine)
    table.withdraw(fd, other)
    assert table.get(fd) is mine
    table.withdraw(fd, mine)
    assert table.find(fd) is None and table.install(other) == fd


def test_a_walk_on_an_evicted_name_finds_its_way_back_into_the_cache() -> None:
    world.boot()
    kernel_io.make_directories(b"/a/b", 0o755)
    walk = Walk(kernel_io.start(), b"/a/b", 0)
    walk.to_end()
    for _ in range(4):
        cache.shrink(10000)
    assert walk.dentry.evicted and not walk.dentry.hashed
    place = walk.path()
    assert place.dentry.hashed and not place.dentry.evicted
    assert kernel_io.find(b"/a/b").dentry is place.dentry


def test_of_two_dentries_of_a_name_the_walk_takes_the_one_in_the_cache() -> None:
    world.boot()
    kernel_io.make_directories(b"/a/b", 0o755)
    walk = Walk(kernel_io.start(), b"/a/b", 0)
    walk.to_end()
    for _ in range(4):
        cache.shrink(10000)
    second = kernel_io.find(b"/a/b")
    assert second.dentry is not walk.dentry
    assert walk.path().dentry is second.dentry


def test_nothing_is_made_in_a_removed_directory() -> None:
    world.boot()
    kernel_io.make_directory(b"/gone", 0o755)
    place = kernel_io.find(b"/gone")
    with pytest.raises(FileNotFoundError):
        kernel_io.find(b"/gone/negative")
    names.remove_directory(Walk(kernel_io.start(), b"/gone", 0))
    for name in (b"negative", b"fresh"):
        with pytest.raises(FileNotFoundError):
            names.make_directory(Walk(place, name, 0), 0o755)


def test_sets_in_sets_are_bounded_from_either_end() -> None:
    world.boot()
    for order in (range(DEPTH + 2), reversed(range(DEPTH + 2))):
        sets = [EpollFile(0) for _ in range(DEPTH + 3)]
        added = 0
        for at in order:
            try:
                add_set(sets[at], at, sets[at + 1], 1, 0)
                added += 1
            except OSError:
                break
        assert added == DEPTH - 1


def test_a_number_may_have_an_item_for_each_file_it_meant() -> None:
    world.boot()
    holder = EpollFile(0)
    one, other = EventFile(0, 1, False), EventFile(0, 1, False)
    holder.set.add(5, one, 1, 11)
    holder.set.add(5, other, 1, 22)
    with pytest.raises(FileExistsError):
        holder.set.add(5, one, 1, 33)
    holder.set.remove(5, one)
    with pytest.raises(FileNotFoundError):
        holder.set.remove(5, one)
    holder.set.remove(5, other)
    assert len(holder.set.items) == 0


class Told:
    """Stands for the caller's array of events: keeps what is written."""

    data: list[int] = []

    def __class_getitem__(cls, of: object) -> type[Told]:
        return cls

    def __init__(self, address: int) -> None:
        pass

    def write_from(self, event: Any) -> None:
        self.data.append(int(event.data))


def test_an_edge_that_comes_while_its_file_is_asked_takes_nobody_elses_place(monkeypatch: pytest.MonkeyPatch) -> None:
    world.boot()
    monkeypatch.setattr(epoll, "UserPtr", Told)
    monkeypatch.setattr(Told, "data", [])
    holder = EpollFile(0)
    files = [EventFile(0, 1, False), EventFile(0, 1, False), EventFile(0, 0, False)]
    edge, _, late = [holder.set.add(5 + at, file, EPOLLET | 1 if at == 0 else 1, at) for at, file in enumerate(files)]
    poll = files[0].poll

    def asked(table: Any) -> int:
        holder.set.mark_ready(edge)
        holder.set.mark_ready(late)
        return poll(table)

    monkeypatch.setattr(files[0], "poll", asked)
    buffer = SimpleNamespace(address=0, skip=lambda count: None)
    holder.set.collect(buffer, 1)
    assert Told.data == [0]
    holder.set.collect(buffer, 1)
    assert Told.data == [0, 1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, CAPACITY * 2), st.integers(0, CAPACITY * 2))
def test_positions_of_different_moments_give_a_number_in_range(head: int, tail: int) -> None:
    world.boot(50)
    ring = ByteRing()
    ring.head, ring.tail = u64(head), u64(tail)
    assert 0 <= ring.used() <= CAPACITY


@pytest.mark.parametrize("text", [b"99999999999999999g", b"18446744073709551615", b"99999999999999%", b"9" * 20 + b"k"])
def test_sizes_of_mount_options_do_not_overflow(text: bytes) -> None:
    world.boot(50)
    try:
        assert parse_size(text) <= LARGEST
    except OSError:
        pass


def test_memory_that_is_short_takes_names_nobody_uses() -> None:
    world.boot()
    kernel_io.make_directory(b"/kept", 0o755)
    place = kernel_io.find(b"/kept")
    for number in range(50):
        with pytest.raises(FileNotFoundError):
            kernel_io.find(b"/absent%d" % number)
    before = cache.count
    for _ in range(3):
        for shrinker in reclaim.shrinkers:
            shrinker.shrink(u64(64))
    assert cache.count < before - 40
    assert kernel_io.find(b"/kept").dentry is place.dentry


class ReturningLock:
    """The cache's lock; whoever gives it back is overtaken by walks that stand at what was just evicted."""

    def __init__(self, inner: Any, known: list[Any]) -> None:
        self.inner, self.known, self.busy = inner, known, False

    def __enter__(self) -> None:
        self.inner.acquire()

    def __exit__(self, *exc: object) -> None:
        self.inner.release()
        if not self.busy:
            self.busy = True
            for entry in self.known:
                if entry.evicted:
                    cache.settle(entry)
            self.busy = False


def chained() -> list[Any]:
    """All dentries in the cache's chains."""
    found = []
    for entry in list(cache.buckets):
        while entry is not None:
            found.append(entry)
            entry = entry.next
    return found


def test_names_that_come_back_while_they_are_dropped_break_no_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    world.boot()
    for number in range(300):
        with pytest.raises(FileNotFoundError):
            kernel_io.find(b"/absent%d" % number)
    known = chained()
    monkeypatch.setattr(cache, "lock", ReturningLock(cache.lock, known))
    cache.shrink(200)
    cache.shrink(200)
    assert len(chained()) == cache.count
    assert all(entry.hashed for entry in known)
