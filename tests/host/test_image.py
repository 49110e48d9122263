# SPDX-License-Identifier: Apache-2.0
"""What is booted is what was linked, without what is not loaded."""

from __future__ import annotations

import pathlib

import pytest
from elftools.elf.elffile import ELFFile

from kaa.host import c_programs, tiny_guest, unsafe_share
from kaa.host.strip import strip


def test_segments_stay_and_sections_go(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.c").write_text("int data[100] = {1}; int _start(void) { return data[3]; }")
    flags = ["-target", "x86_64-freestanding", "-g", "-O1", "-nostdlib", "-static"]
    whole = c_programs.built(tmp_path / "a.c", tmp_path / "a", flags).read_bytes()
    (tmp_path / "b").write_bytes(strip(whole))
    with open(tmp_path / "a", "rb") as first, open(tmp_path / "b", "rb") as second:
        before, after = ELFFile(first), ELFFile(second)
        assert [s.header for s in after.iter_segments()] == [s.header for s in before.iter_segments()]
        assert whole[64:].startswith(strip(whole)[64:])
        assert after.num_sections() == 0 and len(strip(whole)) < len(whole)


def test_what_has_nothing_to_strip_stays() -> None:
    image = tiny_guest.image(b"\xf4")
    assert strip(image) == image


def test_other_files_are_refused() -> None:
    with pytest.raises(ValueError, match="not a 64-bit"):
        strip(b"#!/bin/sh\n")


def test_the_unsafe_share_counts_lines_of_importing_modules(tmp_path: pathlib.Path) -> None:
    (tmp_path / "safe.py").write_text('"""Speaks of kaa.lang.unsafe."""\nx = 1\n')
    (tmp_path / "raw.py").write_text("from kaa.lang.unsafe import Ptr\nx = 1\ny = 2\n")
    (tmp_path / "raw2.py").write_text("from kaa.lang import unsafe\n")
    assert unsafe_share.count(tmp_path) == (4, 6)
