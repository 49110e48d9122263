# SPDX-License-Identifier: Apache-2.0
"""How a command is looked up in the guest's root: PATH, links inside the root, 127 and 126."""

from __future__ import annotations

import pathlib

import pytest

from kaa.host import cpio
from kaa.host.errors import NO_SUCH_COMMAND, NOT_EXECUTABLE, Refusal
from kaa.host.tree import Archive, Folder, Tree, find_command

ENTRIES = [
    cpio.program("bin/tool", b"x"), cpio.regular("etc/plain", b"x"), cpio.symlink("usr/bin", "/bin"),
    cpio.symlink("bin/alias", "tool"), cpio.symlink("bin/up", "../etc/plain"), cpio.symlink("loop", "loop"),
    cpio.symlink("bin/away", "/../../../../bin/tool"), cpio.directory("usr"),
]


def folder(at: pathlib.Path) -> Folder:
    for entry in ENTRIES:
        path = at / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.mode >> 12 == 0o12:
            path.symlink_to(entry.data.decode())
        elif entry.mode >> 12 == 0o10:
            path.write_bytes(entry.data)
            path.chmod(entry.mode & 0o777)
    return Folder(at)


@pytest.fixture(params=["folder", "archive"])
def tree(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Tree:
    return folder(tmp_path) if request.param == "folder" else Archive(cpio.write(ENTRIES))


@pytest.mark.parametrize("name, path", [
    ("tool", "/bin/tool"), ("/usr/bin/tool", "/usr/bin/tool"), ("alias", "/bin/alias"), ("./bin/tool", "/bin/tool"),
    ("bin/../bin/tool", "/bin/tool"), ("away", "/bin/away"),
])
def test_found(tree: Tree, name: str, path: str) -> None:
    assert find_command(tree, name, "/", "/nowhere:/bin") == path


@pytest.mark.parametrize("name, status", [
    ("nothing", NO_SUCH_COMMAND), ("/bin/nothing", NO_SUCH_COMMAND), ("loop", NO_SUCH_COMMAND), ("", NO_SUCH_COMMAND),
    ("/loop", NO_SUCH_COMMAND), ("/etc/plain", NOT_EXECUTABLE), ("/etc", NOT_EXECUTABLE), ("up", NOT_EXECUTABLE),
    ("/bin/tool/x", NO_SUCH_COMMAND),
])
def test_refused(tree: Tree, name: str, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        find_command(tree, name, "/", "/bin")
    assert caught.value.status == status and "\n" not in str(caught.value)
