# SPDX-License-Identifier: Apache-2.0
"""Finding what execve(2) is to run: the file, through `#!` lines, with its interpreter, headers checked.

Nothing of the caller is changed here.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.mount import MS_NOEXEC
from kaa.kernel.arch import machine
from kaa.kernel.fs import namei, permission
from kaa.kernel.mm.user import kernel_buffer
from kaa.kernel.process import script
from kaa.kernel.process.elf_file import ElfFile
from kaa.kernel.process.script import ScriptLine
from kaa.lang import Array, Bytes, u8, u32, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.path import Path

FOLLOW: Final = namei.FOLLOW
DEEPEST: Final = 5
"""Scripts whose interpreters are scripts: ELOOP beyond (execve(2))."""


class Program:
    """What will run."""

    elf: ElfFile
    interpreter: ElfFile | None
    # Strings that come before the caller's argv[1:]; empty unless a script.
    prefix: list[bytes]
    # AT_EXECFN and the source of comm: the name as the caller gave it (of the script, if it is one).
    file_name: bytes

    def __init__(self, elf: ElfFile, interpreter: ElfFile | None, prefix: list[bytes], file_name: bytes) -> None:
        self.elf = elf
        self.interpreter = interpreter
        self.prefix = prefix
        self.file_name = file_name

    def is_script(self) -> bool:
        """Whether argv[0] is replaced."""
        return len(self.prefix) != 0


class Head:
    """A file's first bytes."""

    data: Array[u8, 256]
    length: usize

    def __init__(self) -> None:
        self.data = Array[u8, 256]()
        self.length = 0

    def read(self, file: File) -> None:
        """Fill from the file."""
        self.length = 0
        buf = kernel_buffer(self.data[:])
        while buf.remaining() > 0:
            n = file.read_at(buf, self.length)
            if n == 0:
                break
            self.length += n

    def view(self) -> Bytes:
        """The bytes read."""
        return self.data[0 : self.length]


def find(start: Path, name: bytes, walk_flags: u32) -> Program:
    """Find and check. Raises what path_resolution(7) says, OSError(EACCES, ENOEXEC, ELOOP, ELIBBAD), MemoryError."""
    place = namei.lookup(start, name, walk_flags)
    prefix: list[bytes] = []
    head = Head()
    depth = 0
    shown = name
    while True:
        file = open_executable(place)
        head.read(file)
        if not script.is_script(head.view()):
            break
        depth += 1
        if depth > DEEPEST:
            raise OSError(errno.ELOOP)
        interpreter = _expand(prefix, head, shown)
        shown = interpreter
        place = namei.lookup(_directory(), interpreter, u32(namei.FOLLOW))
    elf = ElfFile(file)
    if head.length < 64:
        raise OSError(errno.ENOEXEC)
    elf.read(head.data[0:64])
    return Program(elf, _find_interpreter(elf), prefix, name)


def _expand(prefix: list[bytes], head: Head, shown: bytes) -> bytes:
    """Put interpreter, argument and script before the arguments; gives the interpreter's path."""
    line = ScriptLine()
    script.parse(head.view(), line)
    interpreter = bytes(head.data[line.path_start : line.path_end])
    if len(prefix) != 0:
        prefix.pop(0)
    prefix.insert(0, shown)
    if line.argument_end > line.argument_start:
        prefix.insert(0, bytes(head.data[line.argument_start : line.argument_end]))
    prefix.insert(0, interpreter)
    return interpreter


def _directory() -> Path:
    return machine.percpu.current().fs.cwd()


def open_executable(place: Path) -> File:
    """Open for execution: a regular file, execute permission, not from a noexec mount (EACCES for each)."""
    inode = place.inode()
    who = machine.percpu.current().credentials
    if inode.is_symlink():
        raise OSError(errno.ELOOP)
    if not inode.is_regular() or (place.mount.flags & MS_NOEXEC) != 0:
        raise OSError(errno.EACCES)
    permission.require(inode, u32(permission.EXEC), who)
    return inode.open(u32(0), place)


def _find_interpreter(elf: ElfFile) -> ElfFile | None:
    """The dynamic linker that PT_INTERP names, checked."""
    path = elf.interpreter_path()
    if path is None:
        return None
    file = open_executable(namei.lookup(_directory(), path, u32(namei.FOLLOW)))
    head = Head()
    head.read(file)
    if head.length < 64:
        raise OSError(errno.ELIBBAD)
    interpreter = ElfFile(file)
    try:
        interpreter.read(head.data[0:64])
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            raise OSError(errno.ELIBBAD) from None
        raise
    return interpreter
