# SPDX-License-Identifier: Apache-2.0
"""The request of `./kaa run`, parsed: docs/run-request.md has the format (`key=value` records, each ended by a NUL)."""

from __future__ import annotations

from kaa.kernel import log
from kaa.kernel.fs.text import parse_number
from kaa.kernel.process.credentials import Credentials, Groups
from kaa.lang import Bytes, u32, u64, usize

SPACE = 0x20
COMMA = 0x2C


class Mounting:
    """A tmpfs= or share= record; `tag` is empty for a tmpfs."""

    tag: bytes
    path: bytes
    writable: bool

    def __init__(self, tag: bytes, path: bytes, writable: bool) -> None:
        self.tag = tag
        self.path = path
        self.writable = writable


class Keeping:
    """A keep= record: a file to copy when the command has ended."""

    source: bytes
    target: bytes

    def __init__(self, source: bytes, target: bytes) -> None:
        self.source = source
        self.target = target


class Request:
    """What is to be run, and how."""

    mounts: list[Mounting]
    keepings: list[Keeping]
    streams: list[bytes]
    """Devices of standard input, output and error."""
    rows: u32 = 0
    columns: u32 = 0
    is_terminal: bool = False
    cwd: bytes
    umask: u32 = 0o22
    uid: u32 = 0
    gid: u32 = 0
    groups: list[u32]
    environment: list[bytes]
    arguments: list[bytes]
    file: bytes

    def __init__(self) -> None:
        self.mounts = []
        self.keepings = []
        self.streams = [b"/dev/console", b"/dev/console", b"/dev/console"]
        self.cwd = b"/"
        self.groups = []
        self.environment = []
        self.arguments = []
        self.file = b""

    def parse(self, text: Bytes) -> None:
        """Take in all records; one that makes no sense costs a line in the log."""
        at: usize = usize(0)
        while at < len(text):
            end = at
            while end < len(text) and text[end] != 0:
                end += 1
            self._record(text[at:end])
            at = end + 1
        if len(self.file) == 0 and len(self.arguments) > 0:
            self.file = self.arguments[0]

    def _record(self, record: Bytes) -> None:
        split = record.find(0x3D)
        if split < 0:
            log.error(f"kaa.run: a record without '=': {record}")
            return
        try:
            if not self._take(record[0:split], record[split + 1 :]):
                log.error(f"kaa.run: unknown record {record[0:split]}")
        except OSError:
            log.error(f"kaa.run: malformed record {record}")

    def _take(self, key: Bytes, value: Bytes) -> bool:
        """One record; False for an unknown key. Raises OSError(EINVAL)."""
        if key == b"env":
            self.environment.append(bytes(value))
        elif key == b"argv":
            self.arguments.append(bytes(value))
        elif key == b"path":
            self.file = bytes(value)
        elif key == b"tmpfs":
            self.mounts.append(Mounting(b"", bytes(value), True))
        elif key == b"share":
            self._share(value)
        elif key == b"keep":
            self._keep(value)
        elif key == b"cwd":
            self.cwd = bytes(value)
        elif key == b"tty":
            self._terminal(value)
        else:
            return self._identity(key, value)
        return True

    def _identity(self, key: Bytes, value: Bytes) -> bool:
        if key == b"stdin":
            self.streams[0] = bytes(value)
        elif key == b"stdout":
            self.streams[1] = bytes(value)
        elif key == b"stderr":
            self.streams[2] = bytes(value)
        elif key == b"umask":
            self.umask = u32(parse_number(value, 8)) & 0o777
        elif key == b"uid":
            self.uid = u32(parse_number(value))
        elif key == b"gid":
            self.gid = u32(parse_number(value))
        elif key == b"groups":
            self._groups(value)
        else:
            return False
        return True

    def _share(self, value: Bytes) -> None:
        """TAG PATH rw|ro; the path may hold spaces."""
        first = value.find(SPACE)
        last = value.rfind(SPACE)
        if first < 0 or last <= first:
            raise OSError(22)
        mode = value[last + 1 :]
        self.mounts.append(Mounting(bytes(value[0:first]), bytes(value[first + 1 : last]), mode == b"rw"))

    def _keep(self, value: Bytes) -> None:
        """SOURCE TARGET, both without spaces."""
        split = value.find(SPACE)
        if split < 0:
            raise OSError(22)
        self.keepings.append(Keeping(bytes(value[0:split]), bytes(value[split + 1 :])))

    def _terminal(self, value: Bytes) -> None:
        split = value.find(SPACE)
        if split < 0:
            raise OSError(22)
        self.rows = u32(parse_number(value[0:split]))
        self.columns = u32(parse_number(value[split + 1 :]))
        self.is_terminal = True

    def _groups(self, value: Bytes) -> None:
        at: usize = usize(0)
        while at < len(value):
            end = at
            while end < len(value) and value[end] != COMMA:
                end += 1
            self._add_group(u32(parse_number(value[at:end])))
            at = end + 1

    def _add_group(self, gid: u32) -> None:
        """Kept sorted: `Groups` searches by halves."""
        at: usize = usize(0)
        while at < len(self.groups) and self.groups[at] < gid:
            at += 1
        self.groups.insert(at, gid)

    def credentials(self) -> Credentials:
        """Real, effective and saved ids as asked; only root has capabilities."""
        who = Credentials()
        who.uid = self.uid
        who.euid = self.uid
        who.suid = self.uid
        who.fsuid = self.uid
        who.gid = self.gid
        who.egid = self.gid
        who.sgid = self.gid
        who.fsgid = self.gid
        if self.uid != 0:
            who.permitted = u64(0)
            who.effective = u64(0)
        groups = Groups()
        for gid in self.groups:
            groups.members.append(gid)
        who.groups = groups
        return who
