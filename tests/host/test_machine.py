# SPDX-License-Identifier: Apache-2.0
"""Machine, with a guest of a few instructions in the kernel's place: statuses, log, timeout, every machine type."""

from __future__ import annotations

import pathlib

import pytest

from kaa.host import qemu, tiny_guest
from kaa.host.errors import Refusal
from kaa.host.machine import Machine

SERIAL = 0x3F8


def guest(folder: pathlib.Path, code: bytes) -> pathlib.Path:
    path = folder / "guest.elf"
    path.write_bytes(tiny_guest.image(code + tiny_guest.halt_forever()))
    return path


def says(text: bytes) -> bytes:
    return b"".join(tiny_guest.outb(SERIAL, byte) for byte in text)


def leaves(status: int) -> bytes:
    return tiny_guest.outb(qemu.STATUS_PORT, status) + tiny_guest.outw(qemu.EXIT_PORT, status)


@pytest.mark.parametrize("machine", qemu.MACHINES)
@pytest.mark.parametrize("status", [0, 1, 127, 139, 255])
def test_the_status_is_the_guests(tmp_path: pathlib.Path, machine: str, status: int) -> None:
    with Machine(guest(tmp_path, says(b"hello\n") + leaves(status)), machine=machine, timeout=20) as it:
        result = it.run()
    assert (result.status, result.log, result.panicked) == (status, "hello\n", False), result.complaint


def test_a_guest_that_ends_without_a_status_panicked(tmp_path: pathlib.Path) -> None:
    with Machine(guest(tmp_path, tiny_guest.outw(qemu.EXIT_PORT, 127)), timeout=20) as it:
        assert it.run().panicked


def test_a_guest_that_never_ends_is_ended(tmp_path: pathlib.Path) -> None:
    with Machine(guest(tmp_path, says(b"here")), timeout=1) as it:
        result = it.run()
    assert result.timed_out and result.status is None and result.log == "here" and not result.panicked


def test_what_qemu_says_is_kept(tmp_path: pathlib.Path) -> None:
    with Machine(guest(tmp_path, b""), extra=["-device", "no-such-device"], timeout=20) as it:
        assert "no-such-device" in it.run().complaint


def test_no_kernel_is_told_in_a_sentence(tmp_path: pathlib.Path) -> None:
    with Machine(tmp_path / "none") as it, pytest.raises(Refusal, match="no kernel image"):
        it.run()


def test_no_qemu_is_told_in_a_sentence(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with Machine(guest(tmp_path, b"")) as it, pytest.raises(Refusal, match="is not installed"):
        it.run()


def test_a_machine_does_not_outlive_its_block(tmp_path: pathlib.Path) -> None:
    with Machine(guest(tmp_path, b""), timeout=20) as it:
        it.start()
        assert it.process is not None and it.process.poll() is None
    assert it.process.poll() is not None
