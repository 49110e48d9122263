# SPDX-License-Identifier: Apache-2.0
"""Unpacking archives, whole and damaged; pipes as rings of bytes."""

from __future__ import annotations

import random

import fs_world as world
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.host import cpio
from kaa.kernel.fs import initramfs, kernel_io
from kaa.kernel.fs.pipe import Pipe
from kaa.kernel.mm.user import kernel_buffer
from kaa.lang import Array, u8


def archive() -> bytes:
    return cpio.write(
        [
            cpio.directory("bin"),
            cpio.program("bin/run", bytes(range(256)) * 20),
            cpio.symlink("bin/link", "run"),
            cpio.character_device("null", 1, 3),
            cpio.regular("empty", b""),
        ]
    )


def test_an_archive_becomes_the_same_tree() -> None:
    world.boot()
    initramfs.unpack(world.view(archive()))
    assert sorted(world.names(b"/")) == [b"bin", b"empty", b"null"]
    assert world.read(kernel_io.open_path(b"/bin/link", 0, 0), 10000) == bytes(range(256)) * 20
    assert kernel_io.find(b"/null").inode().rdev == 0x103
    assert kernel_io.find(b"/bin/run").inode().mode == 0o100755


def test_a_second_archive_replaces_files() -> None:
    world.boot()
    initramfs.unpack(world.view(archive() + bytes(8) + cpio.write([cpio.regular("empty", b"no more")])))
    assert world.read(kernel_io.open_path(b"/empty", 0, 0), 100) == b"no more"


@pytest.mark.parametrize("seed", range(60))
def test_damage_never_escapes(seed: int) -> None:
    source = random.Random(seed)
    damaged = bytearray(archive())
    for _ in range(source.randrange(1, 8)):
        damaged[source.randrange(len(damaged))] = source.randrange(256)
    world.boot()
    initramfs.unpack(world.view(bytes(damaged[: source.randrange(1, len(damaged) + 1)])))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 70000)), max_size=30))
def test_a_pipe_gives_what_was_put_in(steps: list[tuple[bool, int]]) -> None:
    world.boot()
    pipe = Pipe()
    pipe.readers.store(1)
    pipe.writers.store(1)
    model = bytearray()
    counter = 0
    for writing, count in steps:
        if writing:
            data = bytes((counter + i) % 251 for i in range(count))
            room = 65536 - len(model)
            buf = kernel_buffer(world.view(data))
            if (count <= 4096 and room < count) or room == 0:
                with pytest.raises(BlockingIOError):
                    pipe.write(buf, True)
                continue
            done = pipe.write(buf, True)
            assert done == min(count, room)
            model += data[:done]
            counter += done
        elif model:
            room_for: Array = Array[u8, count]()
            done = pipe.read(kernel_buffer(room_for[:]), True)
            assert done == min(count, len(model))
            assert bytes(room_for[0:done]) == bytes(model[:done])
            del model[:done]
    assert pipe.used == len(model)


def test_a_resized_pipe_keeps_its_bytes() -> None:
    world.boot()
    pipe = Pipe()
    pipe.readers.store(1)
    pipe.writers.store(1)
    data = bytes(i % 253 for i in range(20000))
    pipe.write(kernel_buffer(world.view(data)), True)
    head: Array = Array[u8, 5000]()
    pipe.read(kernel_buffer(head[:]), True)
    assert pipe.resize(20000, False) == 32768
    rest: Array = Array[u8, 20000]()
    assert pipe.read(kernel_buffer(rest[:]), True) == 15000
    assert bytes(rest[0:15000]) == data[5000:]
