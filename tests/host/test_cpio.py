# SPDX-License-Identifier: Apache-2.0
"""cpio archives: what is written is read back, other tools agree, damage is refused."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.host import cpio

NAMES = st.text("abcdefgh./ -é", min_size=1, max_size=20).filter(lambda name: name != cpio.TRAILER)
ENTRIES = st.lists(st.builds(cpio.regular, NAMES, st.binary(max_size=50), st.integers(0, 0o7777)), max_size=5)


@given(ENTRIES)
def test_reads_back_what_was_written(entries: list[cpio.Entry]) -> None:
    back = list(cpio.read(cpio.write(entries)))
    assert [(e.name, e.mode, e.data) for e in back] == [(e.name, e.mode, e.data) for e in entries]


@given(ENTRIES, ENTRIES)
def test_two_archives_one_after_the_other_read_as_one(first: list[cpio.Entry], second: list[cpio.Entry]) -> None:
    both = list(cpio.read(cpio.write(first) + cpio.write(second)))
    assert [e.name for e in both] == [e.name for e in first + second]


@given(st.binary(max_size=300))
def test_damage_is_refused_and_nothing_else(data: bytes) -> None:
    try:
        list(cpio.read(data))
    except cpio.Malformed:
        pass


@given(ENTRIES.filter(bool), st.integers(0, 2000), st.integers(0, 255))
def test_a_changed_byte_never_crashes_the_reader(entries: list[cpio.Entry], at: int, value: int) -> None:
    data = bytearray(cpio.write(entries))
    data[at % len(data)] = value
    try:
        list(cpio.read(bytes(data)))
    except cpio.Malformed:
        pass


@pytest.mark.skipif(shutil.which("busybox") is None, reason="busybox is not installed")
def test_busybox_unpacks_what_we_write(tmp_path: pathlib.Path) -> None:
    archive = cpio.write([cpio.directory("d"), cpio.regular("d/f", b"hello"), cpio.symlink("l", "d/f")])
    subprocess.run(["busybox", "cpio", "-idm"], input=archive, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "l").read_bytes() == b"hello"


def test_a_folder_becomes_entries(tmp_path: pathlib.Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"x")
    (tmp_path / "l").symlink_to("d/f")
    assert [(e.name, e.data) for e in cpio.from_directory(tmp_path)] == [("d", b""), ("d/f", b"x"), ("l", b"d/f")]
