# SPDX-License-Identifier: Apache-2.0
"""The kernel command line: who gets which word."""

from __future__ import annotations

import pytest

from kaa.kernel.init import command_line


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    got: list[bytes] = []
    mine = command_line.Parameter(b"log_level", lambda value: got.append(bytes(value)))
    monkeypatch.setattr(command_line, "parameters", [mine])
    monkeypatch.setattr(command_line, "line", command_line.CommandLine())
    return got


def test_a_declared_word_goes_to_its_handler_with_dashes_and_underscores_alike(declared: list[bytes]) -> None:
    command_line.store(b'log-level=3 log_level="4 5" other')
    command_line.apply()
    assert declared == [b"3", b"4 5"]


def test_unknown_words_go_to_init_as_linux_does() -> None:
    command_line.store(b"single TERM=vt100 log_level=3 module.option=1 -- a=b log_level")
    assert command_line.init_arguments() == [b"single", b"a=b", b"log_level"]
    assert command_line.init_environment() == [b"TERM=vt100"]


def test_numbers_with_signs_and_nonsense() -> None:
    assert command_line.number(b"-1") == -1
    assert command_line.number(b"42") == 42
    assert command_line.number(b"4x") == 0
    assert command_line.number(b"99999999999999999999999") == 0


def test_a_line_that_is_too_long_is_cut() -> None:
    command_line.store(b"x" * 10000)
    assert len(command_line.text()) == command_line.SIZE - 1
