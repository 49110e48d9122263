# SPDX-License-Identifier: Apache-2.0
"""The terminal's line discipline, against a driver that only collects: what is read, what is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.kernel.abi.termios import Control, Input, Local, Output
from kaa.kernel.drivers.tty import output
from kaa.kernel.drivers.tty import tty as tty_module
from kaa.kernel.drivers.tty.driver import TtyDriver
from kaa.kernel.drivers.tty.tty import SERIAL, Tty
from kaa.lang import Array, Bytes, u8, usize


class Collector(TtyDriver):
    """Keeps what is shown; `space` bytes fit."""

    def __init__(self, space: int = 1 << 30) -> None:
        self.shown = bytearray()
        self.space = space

    def write(self, data: Bytes) -> usize:
        count = min(len(data), self.space)
        self.shown += bytes(data[:count])
        self.space -= count
        return usize(count)

    def room(self) -> usize:
        return usize(self.space)


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sent: list[int] = []
    monkeypatch.setattr(tty_module, "signal_foreground", lambda tty, signo: sent.append(int(signo)))
    return sent


def make() -> tuple[Tty, Collector]:
    driver = Collector()
    return Tty(driver, 0, SERIAL), driver


def lines(tty: Tty, limit: int = 4096) -> list[bytes]:
    """All complete lines, each read with a buffer of `limit` bytes."""
    result: list[bytes] = []
    while tty.input.lines():
        space = Array[u8, 4096]()
        count, _ = tty.input.take_line(space[:limit])
        result.append(bytes(space[:count]))
    return result


@pytest.mark.parametrize(
    ("typed", "read", "shown"),
    [
        (b"ls\r", [b"ls\n"], b"ls\r\n"),
        (b"lx\x7fs\n", [b"ls\n"], b"lx\b \bs\r\n"),
        (b"abc\x15de\n", [b"de\n"], b"abc" + b"\b \b" * 3 + b"de\r\n"),
        (b"one two\x17x\n", [b"one x\n"], b"one two" + b"\b \b" * 3 + b"x\r\n"),
        (b"ab\x04", [b"ab"], b"ab"),
        (b"\x04", [b""], b""),
        (b"a\x16\x03b\n", [b"a\x03b\n"], b"a^\b^Cb\r\n"),
        (b"a\tb\x7f\x7fc\n", [b"ac\n"], b"a\tb\b \b" + b"\b" * 7 + b"c\r\n"),
        (b"a\x01\x7f\n", [b"a\n"], b"a^A" + b"\b \b" * 2 + b"\r\n"),
        (b"ab\x12c\n", [b"abc\n"], b"ab^R\r\nabc\r\n"),
        (b"a\nb\nc", [b"a\n", b"b\n"], b"a\r\nb\r\nc"),
    ],
)
def test_canonical_editing(typed: bytes, read: list[bytes], shown: bytes) -> None:
    tty, driver = make()
    assert tty.receive(typed) == len(typed)
    assert lines(tty) == read
    assert bytes(driver.shown) == shown


def test_utf8_characters_are_erased_whole() -> None:
    tty, driver = make()
    tty.termios.c_iflag |= Input.IUTF8
    tty.receive("aé\x7f\n".encode())
    assert lines(tty) == [b"a\n"]
    assert bytes(driver.shown) == "aé".encode() + b"\b \b\r\n"


def test_interrupt_flushes_the_line_and_is_shown(signals: list[int]) -> None:
    tty, driver = make()
    tty.receive(b"abc\x03d\n")
    assert signals == [2]
    assert lines(tty) == [b"d\n"]
    assert bytes(driver.shown) == b"abc^Cd\r\n"


def test_quit_and_suspend_raise_their_signals(signals: list[int]) -> None:
    tty, _ = make()
    tty.receive(b"\x1c\x1a")
    assert signals == [3, 20]


def test_without_isig_control_characters_are_data(signals: list[int]) -> None:
    tty, _ = make()
    tty.termios.c_lflag &= ~Local.ISIG
    tty.receive(b"\x03\n")
    assert signals == []
    assert lines(tty) == [b"\x03\n"]


def test_end_of_file_right_behind_a_full_read_is_not_another_one() -> None:
    tty, _ = make()
    tty.receive(b"abc\x04")
    assert lines(tty, limit=3) == [b"abc"]


def test_raw_mode_passes_everything_and_shows_nothing() -> None:
    tty, driver = make()
    tty.termios.c_lflag = 0
    tty.termios.c_iflag = 0
    data = bytes(range(256))
    assert tty.receive(data) == 256
    space = Array[u8, 512]()
    assert tty.input.take(space[:]) == 256
    assert bytes(space[:256]) == data
    assert not driver.shown


def test_raw_mode_leaves_what_does_not_fit_to_the_driver() -> None:
    tty, _ = make()
    tty.termios.c_lflag = 0
    taken = tty.receive(bytes(5000))
    assert 4000 < taken <= 4096
    assert tty.receive(b"x") == 0


def test_a_line_that_is_too_long_can_still_be_ended() -> None:
    tty, _ = make()
    tty.termios.c_lflag &= ~Local.ECHO
    assert tty.receive(b"x" * 6000 + b"\n") == 6001
    [line] = lines(tty)
    assert line[-1:] == b"\n" and len(line) <= 4096


def test_pending_input_becomes_a_line_when_canonical_mode_begins() -> None:
    tty, _ = make()
    tty.termios.c_lflag = 0
    tty.receive(b"abc")
    settings = type(tty.termios)(0, 0, 0, int(Local.ICANON))
    tty.change_settings(settings)
    assert lines(tty) == [b"abc"]


def test_stop_holds_output_and_start_lets_it_go() -> None:
    tty, driver = make()
    tty.receive(b"\x13")
    assert output.write(tty, b"abc") == 0
    tty.receive(b"\x11")
    assert output.write(tty, b"abc") == 3
    assert bytes(driver.shown) == b"abc"


def test_newlines_become_cr_nl_only_with_onlcr() -> None:
    tty, driver = make()
    assert output.write(tty, b"a\nb") == 3
    tty.termios.c_oflag = Output.OPOST
    output.write(tty, b"a\nb")
    assert bytes(driver.shown) == b"a\r\nba\nb"


def test_a_newline_is_taken_whole_or_not_at_all() -> None:
    tty, driver = make()
    driver.space = 2
    assert output.write(tty, b"a\nb") == 1
    driver.space = 10
    assert output.write(tty, b"\nb") == 2
    assert bytes(driver.shown) == b"a\r\nb"


def test_tabs_become_spaces_with_xtabs() -> None:
    tty, driver = make()
    tty.termios.c_oflag = Output.OPOST | Output.XTABS
    output.write(tty, b"ab\tc")
    assert bytes(driver.shown) == b"ab      c"


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=20))
def test_lines_come_out_as_they_went_in(data: bytes, sizes: list[int]) -> None:
    """Without special characters, editing or echo, reading gives the typed bytes, cut at line ends."""
    tty, _ = make()
    tty.termios.c_lflag = Local.ICANON
    tty.termios.c_iflag = 0
    for control in (Control.VERASE, Control.VKILL, Control.VEOF, Control.VEOL):
        tty.termios.c_cc[control] = 0
    at = 0
    for size in [*sizes, len(data)]:
        tty.receive(data[at : at + size])
        at += size
    assert b"".join(lines(tty)) == data[: data.rfind(b"\n") + 1]
