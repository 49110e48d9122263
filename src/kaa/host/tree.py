# SPDX-License-Identifier: Apache-2.0
"""The guest's root as the host sees it before the boot: a folder or a cpio archive in which a command is looked up.

Symbolic links are followed inside the root, as the guest will. What is found here is only to tell the person early and
in one sentence (127, 126); the kernel's execve has the last word.
"""

from __future__ import annotations

import abc
import os
import pathlib
import posixpath
import stat

from kaa.host import cpio
from kaa.host.errors import NO_SUCH_COMMAND, NOT_EXECUTABLE, Refusal

SYMLINKS_AT_MOST = 40
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Tree(abc.ABC):
    """A root. Paths are absolute and normal (`/usr/bin`)."""

    @abc.abstractmethod
    def mode(self, path: str) -> int | None:
        """st_mode of what is there, links not followed; None when there is nothing."""

    @abc.abstractmethod
    def target(self, path: str) -> str:
        """What the symbolic link at `path` says."""

    def resolve(self, path: str) -> str | None:
        """The path without symbolic links, or None when it leads nowhere."""
        done, left, links = "/", [part for part in path.split("/") if part], 0
        while left:
            part = left.pop(0)
            if part in (".", ".."):
                done = posixpath.dirname(done) if part == ".." else done
                continue
            here = posixpath.join(done, part)
            mode = self.mode(here)
            if mode is None or (left and not (stat.S_ISDIR(mode) or stat.S_ISLNK(mode))):
                return None
            if not stat.S_ISLNK(mode):
                done = here
                continue
            links += 1
            if links > SYMLINKS_AT_MOST:
                return None
            target = self.target(here)
            left = [word for word in target.split("/") if word] + left
            done = "/" if target.startswith("/") else done
        return done

    def kind(self, path: str) -> int | None:
        """st_mode of what `path` leads to; None when it leads nowhere."""
        resolved = self.resolve(path)
        return None if resolved is None else self.mode(resolved)


class Folder(Tree):
    """A folder of the host; `/` is the host's own root."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root

    def _host(self, path: str) -> str:
        return os.path.join(self.root, path.lstrip("/"))

    def mode(self, path: str) -> int | None:
        try:
            return os.lstat(self._host(path)).st_mode
        except OSError:
            return None

    def target(self, path: str) -> str:
        return os.readlink(self._host(path))


class Archive(Tree):
    """A cpio archive; folders that it only implies count as folders."""

    def __init__(self, data: bytes) -> None:
        self.entries = {posixpath.normpath("/" + entry.name): entry for entry in cpio.read(data)}
        self.folders = {str(parent) for name in self.entries for parent in pathlib.PurePosixPath(name).parents}

    def mode(self, path: str) -> int | None:
        entry = self.entries.get(path)
        if entry is not None:
            return entry.mode
        return stat.S_IFDIR | 0o755 if path in self.folders else None

    def target(self, path: str) -> str:
        return os.fsdecode(self.entries[path].data)


def find_command(tree: Tree, name: str, cwd: str, search: str | None) -> str:
    """The file that `name` stands for, as a shell would find it. Raises Refusal with 127 or 126."""
    if not name:
        raise Refusal("the command's name is empty", NO_SUCH_COMMAND)
    if "/" in name:
        return _checked(tree, posixpath.join(cwd, name), name)
    found: Refusal | None = None
    for folder in (search or DEFAULT_PATH).split(":"):
        path = posixpath.join(cwd, folder or ".", name)
        if tree.kind(path) is not None:
            try:
                return _checked(tree, path, name)
            except Refusal as refusal:
                found = found or refusal
    raise found or Refusal(f"{name}: no such command in the guest's root", NO_SUCH_COMMAND)


def _checked(tree: Tree, path: str, name: str) -> str:
    mode = tree.kind(path)
    if mode is None:
        raise Refusal(f"{name}: no such file in the guest's root", NO_SUCH_COMMAND)
    if stat.S_ISDIR(mode):
        raise Refusal(f"{name}: is a directory", NOT_EXECUTABLE)
    if not stat.S_ISREG(mode) or not mode & 0o111:
        raise Refusal(f"{name}: is not executable", NOT_EXECUTABLE)
    return posixpath.normpath(path)
