# SPDX-License-Identifier: Apache-2.0
"""The request that `./kaa run` puts into the initramfs as /kaa/run. Its format and meaning: docs/run-request.md."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence

from kaa.host import cpio

PATH = "kaa/run"


@dataclasses.dataclass
class Request:
    """One command and the world it is to find."""

    argv: Sequence[str]
    path: str | None = None
    cwd: str = "/"
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    uid: int = 0
    gid: int = 0
    groups: Sequence[int] = ()
    umask: int = 0o022
    tmpfs: Sequence[str] = ()
    shares: Sequence[tuple[str, bool, str]] = ()
    """(tag, writable, path)"""
    terminal: tuple[int, int] | None = None
    """(rows, columns) when fd 0 is a terminal"""
    streams: tuple[str, str, str] | None = None
    """The devices of fd 0, 1, 2; None: what `terminal` implies"""
    keep: Sequence[tuple[str, str]] = ()
    """(file, copy): what is copied when the command has ended"""

    def devices(self) -> tuple[str, str, str]:
        if self.streams is not None:
            return self.streams
        if self.terminal is not None:
            return "/dev/hvc0", "/dev/hvc0", "/dev/hvc0"
        return "/dev/vport0p1", "/dev/vport0p2", "/dev/vport0p3"

    def records(self) -> Iterator[tuple[str, str]]:
        """The records in the order in which the kernel carries them out."""
        yield from (("tmpfs", path) for path in self.tmpfs)
        for tag, writable, path in self.shares:
            yield "share", f"{tag} {path} {'rw' if writable else 'ro'}"
        yield from zip(("stdin", "stdout", "stderr"), self.devices(), strict=True)
        if self.terminal is not None:
            yield "tty", f"{self.terminal[0]} {self.terminal[1]}"
        yield from (("keep", f"{source} {copy}") for source, copy in self.keep)
        yield "cwd", self.cwd
        yield "umask", f"{self.umask:o}"
        yield "groups", ",".join(map(str, self.groups))
        yield "gid", str(self.gid)
        yield "uid", str(self.uid)
        yield from (("env", f"{name}={value}") for name, value in self.environment.items())
        if self.path is not None:
            yield "path", self.path
        yield from (("argv", word) for word in self.argv)

    def encode(self) -> bytes:
        return b"".join(os.fsencode(f"{key}={value}") + b"\0" for key, value in self.records())

    def archive(self) -> bytes:
        """A cpio archive with the request alone, to be given as (or appended to) the initramfs."""
        return cpio.write([cpio.directory("kaa"), cpio.regular(PATH, self.encode(), 0o600)])
