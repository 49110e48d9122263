# SPDX-License-Identifier: Apache-2.0
"""Root and current directories across fork: lent to the child until it needs its own."""

from __future__ import annotations

import fs_world as world
import pytest

from kaa.kernel.fs import context
from kaa.kernel.fs.context import FsContext
from kaa.kernel.fs.path import Path


def pins(of: FsContext) -> int:
    """Of the dentry where it is."""
    path = of.find_cwd()
    assert path is not None
    return int(path.dentry.pins.load())


def test_a_child_has_its_parents_paths_until_it_looks_something_up() -> None:
    parent: FsContext = world.boot().fs
    parent.own()
    before = pins(parent)
    child = parent.fork()
    assert child.find_cwd() is parent.find_cwd() and child.find_root() is parent.find_root()
    assert pins(parent) == before
    own = child.cwd()
    assert own is not parent.find_cwd() and own.same(parent.cwd())
    assert child.root() is own, "one object where both are one place, as the parent's"
    assert pins(parent) == before + 1
    assert child.cwd() is own
    child.leave()
    del own
    assert pins(parent) == before


def test_paths_that_are_lent_outlive_their_owner_and_change_for_one_alone() -> None:
    parent: FsContext = world.boot().fs
    child, other = parent.fork(), parent.fork()
    before = pins(parent)  # the mount's, and its path's
    place = parent.cwd()
    there = Path(place.mount, place.dentry)
    del place
    child.set_cwd(there)
    assert child.cwd() is not parent.cwd() and other.find_cwd() is parent.find_cwd()
    parent.leave()
    assert other.cwd().same(there) and other.umask.load() == 0o22
    child.leave()
    other.leave()
    assert there.dentry.pins.load() == before, "the mount's, and this path's"


def test_without_memory_the_paths_stay_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    parent: FsContext = world.boot().fs
    child = parent.fork()

    def none_left(*_: object) -> Path:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(context, "Path", none_left)
        assert child.cwd() is parent.find_cwd()
    assert child.cwd() is not parent.find_cwd()
