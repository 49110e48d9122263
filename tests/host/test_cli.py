# SPDX-License-Identifier: Apache-2.0
"""Bad input is told in one sentence, with the customary status and without a traceback."""

from __future__ import annotations

import pathlib

import pytest

from kaa.host import accelerator, cli, installing, request, sizes
from kaa.host.errors import Refusal


@pytest.mark.parametrize("words, status, say", [
    (["run", "no-such-command-at-all"], 127, "no such command"),
    (["run", "/no/such/file"], 127, "no such file"),
    (["run", "/etc/passwd"], 126, "not executable"),
    (["run", "/etc"], 126, "is a directory"),
    (["run", "--root", "/nope", "ls"], 2, "no such file"),
    (["run", "--root", "/etc/passwd", "ls"], 2, "neither a folder nor a cpio"),
    (["run", "--mem", "2M", "ls"], 125, "too little memory"),
    (["run", "--mem", "much", "ls"], 2, "not a size"),
    (["run", "--frob", "ls"], 2, "no such option: --frob"),
    (["run", "--mem"], 2, "--mem"),
    (["run"], 2, "missing argument"),
    (["run", "--machine", "pdp11", "ls"], 2, "choose one of"),
    (["run", "--timeout", "-1", "ls"], 2, "above zero"),
    (["run", "--timeout", "soon", "ls"], 2, "valid number"),
    (["run", "--cpus", "0", "ls"], 2, "a number from 1 to 64"),
    (["run", "--cpus", "65", "ls"], 2, "a number from 1 to 64"),
    (["run", "--cpus", "two", "ls"], 2, "valid integer"),
    (["bench", "weather"], 2, "choose language, linux, scaling or stress"),
    (["frobnicate"], 2, "no such command"),
])
def test_one_sentence(words: list[str], status: int, say: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == status
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and told.err.startswith("kaa: ") and say in told.err


def test_help_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(command in said for command in ("run", "build", "test", "bench", "compile", "gdb", "check"))


@pytest.mark.parametrize("text, size", [("64M", 64 << 20), ("1G", 1 << 30), ("512", 512 << 20), ("16MiB", 16 << 20),
                                        ("8192k", 8 << 20)])
def test_sizes(text: str, size: int) -> None:
    assert sizes.parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1M", "1.5G", "M", "999999999T"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(Refusal):
        sizes.parse_memory(text)


def test_the_request_has_its_records_in_order() -> None:
    wish = request.Request(["ls", "-l"], "/bin/ls", "/tmp", {"A": "b=c"}, 1, 2, [3, 4], tmpfs=["/tmp"],
                           shares=[("cwd", True, "/a b")])
    assert wish.encode().split(b"\0") == [
        b"tmpfs=/tmp", b"share=cwd /a b rw", b"stdin=/dev/vport0p1", b"stdout=/dev/vport0p2", b"stderr=/dev/vport0p3",
        b"cwd=/tmp", b"umask=22", b"groups=3,4", b"gid=2", b"uid=1", b"env=A=b=c", b"path=/bin/ls", b"argv=ls",
        b"argv=-l", b""]


def test_no_qemu_and_no_way_to_get_it_is_one_sentence(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refusal, match="not installed and there is no apt-get"):
        installing.ensure_qemu()


def test_kvm_is_not_used_where_it_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(accelerator.os, "access", lambda *_: False)
    assert accelerator.choose(tmp_path, "microvm")[0] == "tcg"


def test_a_kernel_that_does_not_boot_under_kvm_is_remembered(
        monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    probes: list[str] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(accelerator.os, "access", lambda *_: True)
    monkeypatch.setattr(accelerator, "probe", lambda kernel, machine: probes.append(machine) or False)
    assert [accelerator.choose(tmp_path, "microvm")[0] for _ in range(3)] == ["tcg"] * 3
    assert probes == ["microvm"]
