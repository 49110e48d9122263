# SPDX-License-Identifier: Apache-2.0
"""`#!` lines."""

from __future__ import annotations

import pytest

from kaa.kernel.process import script
from kaa.kernel.process.script import ScriptLine


def parts(head: bytes) -> tuple[bytes, bytes]:
    line = ScriptLine()
    script.parse(head, line)
    return bytes(head[line.path_start : line.path_end]), bytes(head[line.argument_start : line.argument_end])


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"#!/bin/sh\necho", (b"/bin/sh", b"")),
        (b"#! /usr/bin/env python3 -u  \nx", (b"/usr/bin/env", b"python3 -u")),
        (b"#!/bin/sh", (b"/bin/sh", b"")),
        (b"#!\t/bin/sh\t-e\t\n", (b"/bin/sh", b"-e")),
        (b"#!/bin/sh -x".ljust(256, b"y"), (b"/bin/sh", b"-x".ljust(246, b"y"))),
    ],
)
def test_interpreter_and_argument(head: bytes, expected: tuple[bytes, bytes]) -> None:
    assert parts(head) == expected


@pytest.mark.parametrize("head", [b"#!\n", b"#!   \n", b"#!" + b"a" * 254])
def test_a_line_without_a_whole_interpreter_is_no_program(head: bytes) -> None:
    with pytest.raises(OSError) as caught:
        parts(head)
    assert caught.value.errno == 8


def test_what_is_no_script() -> None:
    assert not script.is_script(b"#")
    assert not script.is_script(b"\x7fELF")
    assert script.is_script(b"#!")
