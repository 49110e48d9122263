# SPDX-License-Identifier: Apache-2.0
"""tmpfs against a dict of bytes, and the rules of names."""

from __future__ import annotations

import fs_world as world
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.kernel.fs import kernel_io, namei
from kaa.kernel.fs.calls import names as naming
from kaa.kernel.fs.calls import rename as renaming

O_RDWR_CREAT = 0o102


def walk(name: bytes) -> namei.Walk:
    return namei.Walk(kernel_io.start(), name, 0)


operations = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 20000), st.binary(min_size=1, max_size=6000)),
    st.tuples(st.just("truncate"), st.integers(0, 20000), st.just(b"")),
    st.tuples(st.just("read"), st.integers(0, 20000), st.binary(max_size=1)),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(operations, max_size=20))
def test_a_file_holds_what_was_written(steps: list[tuple[str, int, bytes]]) -> None:
    world.boot()
    file = kernel_io.open_path(b"/f", O_RDWR_CREAT, 0o600)
    model = bytearray()
    for kind, at, data in steps:
        if kind == "write":
            assert world.write(file, data, at) == len(data)
            if len(model) < at:
                model.extend(bytes(at - len(model)))
            model[at : at + len(data)] = data
        elif kind == "truncate":
            file.truncate(at)
            del model[at:]
            model.extend(bytes(at - len(model)))
        else:
            assert world.read(file, 9000, at) == bytes(model[at : at + 9000])
    assert file.node.size == len(model)
    assert world.read(file, 30000, 0) == bytes(model)


def test_pages_are_given_back_when_a_file_goes() -> None:
    world.boot()
    before = world.machine.buddy.free_pages_count()
    file = kernel_io.open_path(b"/f", O_RDWR_CREAT, 0o600)
    world.write(file, bytes(100000))
    naming.remove_file(walk(b"/f"))
    assert world.read(file, 5, 10) == bytes(5)
    del file
    import gc

    gc.collect()
    from kaa.kernel.fs.dentry import cache

    cache.shrink(1000)
    cache.shrink(1000)
    gc.collect()
    assert world.machine.buddy.free_pages_count() == before


def test_a_size_limit_is_enospc() -> None:
    world.boot()
    kernel_io.make_directory(b"/t", 0o755)
    kernel_io.mount(b"tmpfs", b"tmpfs", b"/t", 0, b"size=16k")
    file = kernel_io.open_path(b"/t/f", O_RDWR_CREAT, 0o600)
    assert world.write(file, bytes(20000)) == 16384
    with pytest.raises(OSError) as caught:
        world.write(file, b"x")
    assert caught.value.errno == 28


def test_entries_are_listed_once_while_others_come_and_go() -> None:
    world.boot()
    kernel_io.make_directory(b"/d", 0o755)
    for index in range(50):
        kernel_io.open_path(b"/d/%d" % index, O_RDWR_CREAT, 0o600)
    for index in range(0, 50, 2):
        naming.remove_file(walk(b"/d/%d" % index))
    assert world.names(b"/d") == [b"%d" % index for index in range(1, 50, 2)]


def test_rename_over_replaces_and_keeps_counts() -> None:
    world.boot()
    a = kernel_io.open_path(b"/a", O_RDWR_CREAT, 0o600)
    b = kernel_io.open_path(b"/b", O_RDWR_CREAT, 0o600)
    world.write(a, b"from a")
    renaming.rename_walks(walk(b"/a"), walk(b"/b"), 0)
    assert not kernel_io.exists(b"/a")
    assert world.read(kernel_io.open_path(b"/b", 0, 0), 10) == b"from a"
    assert b.node.nlink == 0 and a.node.nlink == 1


def test_a_directory_cannot_be_moved_below_itself() -> None:
    world.boot()
    kernel_io.make_directories(b"/d/e", 0o755)
    with pytest.raises(OSError) as caught:
        renaming.rename_walks(walk(b"/d"), walk(b"/d/e/f"), 0)
    assert caught.value.errno == 22


def test_rename_exchange_swaps() -> None:
    world.boot()
    world.write(kernel_io.open_path(b"/a", O_RDWR_CREAT, 0o600), b"A")
    kernel_io.make_directories(b"/d/sub", 0o755)
    renaming.rename_walks(walk(b"/a"), walk(b"/d"), 2)
    assert kernel_io.exists(b"/a/sub")
    assert world.read(kernel_io.open_path(b"/d", 0, 0), 10) == b"A"


def test_rmdir_refuses_what_is_not_empty() -> None:
    world.boot()
    kernel_io.make_directories(b"/d/e", 0o755)
    with pytest.raises(OSError) as caught:
        naming.remove_directory(walk(b"/d"))
    assert caught.value.errno == 39
    naming.remove_directory(walk(b"/d/e"))
    naming.remove_directory(walk(b"/d"))
    assert world.names(b"/") == []


def test_sticky_directories_protect_others_files() -> None:
    task = world.boot()
    kernel_io.make_directory(b"/tmp", 0o777)
    kernel_io.find(b"/tmp").inode().mode |= 0o1000
    kernel_io.find(b"/tmp").inode().mode |= 0o777
    kernel_io.open_path(b"/tmp/root", O_RDWR_CREAT, 0o600)
    user = task.credentials.copy()
    user.fsuid = 1000
    user.effective = 0
    task.credentials = user
    with pytest.raises(PermissionError):
        naming.remove_file(walk(b"/tmp/root"))


def test_unused_dentries_are_evicted_and_found_again() -> None:
    world.boot()
    from kaa.kernel.fs.dentry import cache

    kernel_io.make_directories(b"/x/y/z", 0o755)
    for _ in range(4):
        cache.shrink(100)
    assert cache.count == 0
    assert kernel_io.exists(b"/x/y/z")
