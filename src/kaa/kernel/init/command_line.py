# SPDX-License-Identifier: Apache-2.0
"""The boot loader's command line: `name=value` words, to whoever declared the name; the rest goes to init, as Linux
does.

A room declares a parameter beside what it controls::

    @boot_param("loglevel")
    def set_level(value: Bytes) -> None: ...

Words nobody declared: with `=`, into init's environment; without, into its arguments; a name with a dot is some
module's that this kernel lacks, and is dropped. All words after `--` are init's arguments (bootparam(7),
kernel-command-line). Double quotes keep spaces together and are removed around a value. A handler must not fail: it
logs what it cannot use. The same name may be declared by several; all get the word. Words may come several times;
handlers are called in order. """

from __future__ import annotations

from collections.abc import Callable, Iterator

from kaa.lang import Array, Bytes, Slice, i64, u8, usize

SIZE = 4096
SPACE, QUOTE, EQUALS, DASH, DOT = 32, 34, 61, 45, 46
TAB, NEWLINE = 9, 10


class Parameter:
    """A declared name and who handles its value."""

    name: bytes
    handler: Callable[[Bytes], None]

    def __init__(self, name: bytes, handler: Callable[[Bytes], None]) -> None:
        self.name = name
        self.handler = handler


parameters: list[Parameter] = []


def boot_param(name: str) -> Callable[[Callable[[Bytes], None]], Callable[[Bytes], None]]:
    """Declare a parameter; the function gets the text after `=` (empty if there is none)."""

    def register(handler: Callable[[Bytes], None]) -> Callable[[Bytes], None]:
        parameters.append(Parameter(name.encode(), handler))
        return handler

    return register


class CommandLine:
    """The text, kept for /proc/cmdline. Written once at boot."""

    text: Array[u8, 4096]
    length: usize

    def __init__(self) -> None:
        self.text = Array[u8, 4096]()
        self.length = usize(0)


line = CommandLine()


def text() -> Bytes:
    """The whole line, without an end mark."""
    return line.text[0 : line.length]


def store(given: Bytes) -> None:
    """Keep the boot loader's line; what is longer than SIZE - 1 is cut."""
    line.length = min(len(given), SIZE - 1)
    line.text[0 : line.length].copy_from(given[0 : line.length])


def _is_space(byte: u8) -> bool:
    return byte == SPACE or byte == TAB or byte == NEWLINE


def words() -> Iterator[Bytes]:
    """The words, with their quotes."""
    at: usize = usize(0)
    while at < line.length:
        while at < line.length and _is_space(line.text[at]):
            at += 1
        start = at
        quoted = False
        while at < line.length and (quoted or not _is_space(line.text[at])):
            if line.text[at] == QUOTE:
                quoted = not quoted
            at += 1
        if at > start:
            yield line.text[start:at]


def name_of(word: Bytes) -> Bytes:
    """What stands before `=`."""
    at = word.find(EQUALS)
    return word if at < 0 else word[0 : usize(at)]


def value_of(word: Bytes) -> Bytes:
    """What stands after `=`, without quotes around it; empty if there is no `=`."""
    at = word.find(EQUALS)
    if at < 0:
        return word[0:0]
    return unquoted(word[usize(at) + 1 :])


def unquoted(value: Bytes) -> Bytes:
    """The text without quotes around all of it."""
    if len(value) >= 2 and value[0] == QUOTE and value[len(value) - 1] == QUOTE:
        return value[1 : len(value) - 1]
    return value


def _dash_to_underscore(byte: u8) -> u8:
    return u8(95) if byte == DASH else byte


def same_name(a: Bytes, b: Bytes) -> bool:
    """Are the names equal, `-` being the same as `_`?"""
    if len(a) != len(b):
        return False
    for index in range(len(a)):
        if _dash_to_underscore(a[index]) != _dash_to_underscore(b[index]):
            return False
    return True


def _declared(word: Bytes) -> bool:
    """Does a parameter have the word's name?"""
    name = name_of(word)
    for parameter in parameters:
        if same_name(parameter.name, name):
            return True
    return False


def apply() -> None:
    """Call the handlers of all words before `--`."""
    for word in words():
        if word == b"--":
            break
        for parameter in parameters:
            if same_name(parameter.name, name_of(word)):
                parameter.handler(value_of(word))


def find(name: Bytes) -> bool:
    """Is there a word of this name (before `--`)?"""
    for word in words():
        if word == b"--":
            break
        if same_name(name_of(word), name):
            return True
    return False


def init_arguments() -> list[bytes]:
    """The words that are init's arguments. Raises MemoryError."""
    found: list[bytes] = []
    after = False
    for word in words():
        if after:
            found.append(bytes(unquoted(word)))
        elif word == b"--":
            after = True
        elif word.find(EQUALS) < 0 and not _declared(word) and word.find(DOT) < 0:
            found.append(bytes(word))
    return found


def init_environment() -> list[bytes]:
    """The words that go into init's environment. Raises MemoryError."""
    found: list[bytes] = []
    for word in words():
        if word == b"--":
            break
        if word.find(EQUALS) > 0 and not _declared(word) and name_of(word).find(DOT) < 0:
            found.append(bytes(word))
    return found


def number(value: Bytes) -> i64:
    """A value's decimal number, with a sign; 0 for what is none."""
    total: i64 = i64(0)
    negative = len(value) > 0 and value[0] == DASH
    start = 1 if negative else 0
    for byte in value[start:]:
        if byte < 48 or byte > 57 or total > 1 << 50:
            return i64(0)
        total = total * 10 + i64(byte) - 48
    return -total if negative else total


def copy_text(into: Slice[u8]) -> usize:
    """Copy the line; gives how many bytes fitted."""
    count = min(len(into), line.length)
    into[0:count].copy_from(line.text[0:count])
    return count
