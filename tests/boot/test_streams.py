# SPDX-License-Identifier: Apache-2.0
"""Standard streams: exact bytes, kept apart, ends and readers that go away, terminals, Ctrl-C, timeouts."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
import world

pytestmark = pytest.mark.boot


def test_every_byte_arrives_as_it_is(kaa: world.Kaa) -> None:
    data = bytes(range(256)) * 300 + b"\r\n\x03\x04\x1a\xff"
    assert kaa("cat", stdin=data) == (0, data, b"")


def test_output_and_error_are_kept_apart(kaa: world.Kaa) -> None:
    assert kaa("sh", "-c", "echo out; echo err >&2; echo out2") == (0, b"out\nout2\n", b"err\n")


def test_no_input_is_an_end_of_file_at_once(kaa: world.Kaa) -> None:
    assert kaa("wc", "-c") == (0, b"0\n", b"")


def test_input_that_nobody_reads_does_not_hold_the_command_up(kaa: world.Kaa) -> None:
    assert kaa("echo", "done", stdin=b"x" * (8 << 20)) == (0, b"done\n", b"")


@pytest.mark.slow
def test_a_hundred_megabytes_go_through(kaa: world.Kaa, tmp_path: pathlib.Path) -> None:
    block = os.urandom(1 << 20)
    wanted, got = hashlib.sha256(), hashlib.sha256()
    with open(tmp_path / "large", "wb") as file:
        for i in range(100):
            piece = block[i:] + block[:i]
            wanted.update(piece)
            file.write(piece)
    with open(tmp_path / "large", "rb") as file:
        words = kaa.words("cat", options=["--timeout", "170"])
        process = subprocess.Popen(words, stdin=file, stdout=subprocess.PIPE, env=world.ENVIRONMENT, cwd=tmp_path)
        assert process.stdout is not None
        while piece := process.stdout.read(1 << 20):
            got.update(piece)
    assert process.wait(20) == 0 and got.hexdigest() == wanted.hexdigest()


def test_a_reader_that_goes_away_ends_the_command(kaa: world.Kaa, tmp_path: pathlib.Path) -> None:
    process = subprocess.Popen(kaa.words("yes"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=tmp_path,
                               env=world.ENVIRONMENT)
    assert process.stdout is not None and process.stdout.read(100) == b"y\n" * 50
    process.stdout.close()
    assert process.wait(world.BOOT_SECONDS) == 128 + signal.SIGPIPE


def test_control_c_ends_a_command_without_a_terminal(kaa: world.Kaa, tmp_path: pathlib.Path) -> None:
    def heed() -> None:
        """A shell's background job ignores the signal, and so would what it starts."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(kaa.words("sh", "-c", "echo ready; sleep 1000"), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, cwd=tmp_path, env=world.ENVIRONMENT, preexec_fn=heed)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130


def test_a_command_that_takes_too_long_is_ended(kaa: world.Kaa) -> None:
    ended = kaa("sleep", "1000", options=["--timeout", "3"])
    assert ended.status == 124 and ended.stderr.count(b"\n") == 1 and b"3 seconds" in ended.stderr


class Terminal:
    """`./kaa run` on a pseudo terminal of 30 rows and 100 columns."""

    def __init__(self, kaa: world.Kaa, *words: str) -> None:
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
            os.chdir(kaa.folder)
            command = kaa.words(*words, options=["--timeout", "60"])
            os.execve(command[0], command, world.ENVIRONMENT)

    def expect(self, text: bytes, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], f"no {text!r} in {self.seen!r}"
            try:
                self.seen += os.read(self.fd, 4096)
            except OSError:
                raise AssertionError(f"it ended without {text!r}: {self.seen!r}") from None

    def type(self, text: bytes) -> None:
        os.write(self.fd, text)

    def status(self) -> int:
        try:
            while piece := os.read(self.fd, 4096):
                self.seen += piece
        except OSError:
            pass  # EIO: nobody holds the other end any more
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_terminal_is_a_terminal_with_its_size(kaa: world.Kaa) -> None:
    terminal = Terminal(kaa, "sh", "-c", "tty; stty size; read line; echo got $line; exit 4")
    terminal.expect(b"/dev/")
    terminal.expect(b"30 100")
    terminal.type(b"wrong\x15right\r")
    terminal.expect(b"got right\r\n")
    assert terminal.status() == 4


def test_control_c_on_a_terminal_goes_to_the_guest(kaa: world.Kaa) -> None:
    terminal = Terminal(kaa, "sh", "-c", "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 1; done")
    terminal.expect(b"ready")
    terminal.type(b"\x03")
    terminal.expect(b"caught")
    assert terminal.status() == 9


def test_an_interactive_shell(kaa: world.Kaa) -> None:
    terminal = Terminal(kaa, "bash", "--norc", "-i")
    terminal.expect(b"# " if os.getuid() == 0 else b"$ ")
    terminal.type(b"echo $((6 * 7))\r")
    terminal.expect(b"42\r\n")
    terminal.type(b"sleep 100; echo not here\r")
    time.sleep(1)
    terminal.type(b"\x03")
    terminal.type(b"exit 5\r")
    assert terminal.status() == 5
