# SPDX-License-Identifier: Apache-2.0
"""The path walk against the host's own, over the same small tree with links, dots and trailing slashes."""

from __future__ import annotations

import os
from pathlib import Path

import fs_world as world
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.kernel.fs import kernel_io, namei
from kaa.kernel.fs.path_text import path_text

DIRECTORIES = ["a", "a/b", "a/b/c", "d"]
FILES = ["f", "a/g", "a/b/c/h"]
LINKS = {"l": "a/b", "a/up": "..", "a/b/loop": "loop", "d/far": "../a/b/c/h", "dangling": "nowhere", "d/chain": "../l/"}


def build_host(root: Path) -> None:
    for name in DIRECTORIES:
        (root / name).mkdir()
    for name in FILES:
        (root / name).write_bytes(b"")
    for name, target in LINKS.items():
        os.symlink(target, root / name)


def build_kernel() -> None:
    for name in DIRECTORIES:
        kernel_io.make_directory(name.encode(), 0o755)
    for name in FILES:
        kernel_io.open_path(name.encode(), 0o102, 0o644)
    for name, target in LINKS.items():
        kernel_io.make_symlink(name.encode(), target.encode())


NAMES = "a b c d f g h l up loop far dangling chain . .. zz".split()
words = st.sampled_from([*NAMES, ""])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    build_host(root)
    world.boot()
    build_kernel()
    return root


def host_result(root: Path, name: str, follow: bool) -> tuple[int, str]:
    """(errno, canonical place below the root)."""
    try:
        full = f"{root}/{name}" if name else ""
        info = os.stat(full) if follow else os.lstat(full)
    except OSError as error:
        return error.errno or 0, ""
    del info
    if follow:
        return 0, os.path.realpath(full).removeprefix(str(root)) or "/"
    return 0, ""


def kernel_result(name: str, follow: bool) -> tuple[int, str]:
    try:
        place = namei.lookup(kernel_io.start(), name.encode(), namei.FOLLOW if follow else 0)
        place.inode()
    except OSError as error:
        return (error.errno or {FileNotFoundError: 2, NotADirectoryError: 20}.get(type(error), 0)), ""
    if follow:
        return 0, path_text(place, kernel_io.start()).decode()
    return 0, ""


def leaves(root: Path, parts: list[str]) -> bool:
    """Whether the walk goes above the root, which is another place on the host."""
    for count in range(1, len(parts) + 1):
        place = os.path.realpath(f"{root}/{'/'.join(parts[:count])}")
        if place != str(root) and not place.startswith(f"{root}/"):
            return True
    return False


@settings(max_examples=300, deadline=None)
@given(st.lists(words, min_size=1, max_size=6), st.booleans())
def test_walks_end_where_the_hosts_end(tree: Path, parts: list[str], follow: bool) -> None:
    if leaves(tree, parts):
        return
    name = "/".join(parts).lstrip("/")
    if not name:
        return
    host = host_result(tree, name, follow)
    assert kernel_result(name, follow) == host, name


def test_forty_links_are_too_many(tree: Path) -> None:
    assert kernel_result("a/b/loop", True)[0] == 40


def test_dot_dot_stops_at_the_root(tree: Path) -> None:
    assert kernel_result("../../a/../..", True) == (0, "/")


def test_mounts_are_crossed_both_ways(tree: Path) -> None:
    kernel_io.make_directory(b"m", 0o755)
    kernel_io.mount(b"tmpfs", b"tmpfs", b"/m", 0, b"")
    kernel_io.make_directory(b"/m/inside", 0o755)
    assert kernel_result("m/inside", True) == (0, "/m/inside")
    assert kernel_result("m/inside/../..", True) == (0, "/")
    with pytest.raises(OSError):
        namei.lookup(kernel_io.start(), b"m/inside", namei.NO_XDEV)


def test_beneath_and_in_root(tree: Path) -> None:
    start = kernel_io.find(b"/a")
    with pytest.raises(OSError) as caught:
        namei.lookup(start, b"../f", namei.BENEATH)
    assert caught.value.errno == 18
    assert path_text(namei.lookup(start, b"/../b", namei.IN_ROOT), kernel_io.start()) == b"/a/b"


def test_long_names_are_refused(tree: Path) -> None:
    assert kernel_result("x" * 256, True)[0] == 36
