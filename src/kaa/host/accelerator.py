# SPDX-License-Identifier: Apache-2.0
"""TCG or KVM. A /dev/kvm that opens may still hang the guest (nested, paravirtual hosts do), so KVM is used only where
a probe boot of the kernel itself ended in order within a second; the answer is remembered per host kernel, CPU, QEMU
and kernel image format."""

from __future__ import annotations

import hashlib
import os
import pathlib
import platform
import subprocess

from kaa.host import qemu
from kaa.host.errors import NO_SUCH_COMMAND, Refusal
from kaa.host.machine import Machine
from kaa.host.request import Request

PROBE_SECONDS = 1.0
CHOICES = ("auto", "tcg", "kvm")


def cache_folder() -> pathlib.Path:
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kaa"


def _host() -> str:
    """What the answer depends on."""
    try:
        processor = [line for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                     if line.startswith(("model name", "flags"))][:2]
    except OSError:
        processor = []
    version = subprocess.run([qemu.find(), "--version"], capture_output=True, text=True).stdout
    return hashlib.sha256("\n".join([platform.release(), version, *processor]).encode()).hexdigest()[:16]


def _answer(machine: str) -> pathlib.Path:
    return cache_folder() / f"kvm-{machine}-{_host()}"


def remember(machine: str, works: bool) -> None:
    answer = _answer(machine)
    answer.parent.mkdir(parents=True, exist_ok=True)
    answer.write_text("works\n" if works else "does not boot\n")


def probe(kernel: pathlib.Path, machine: str) -> bool:
    """Boots `kernel` under KVM with a command that does not exist: it must say so within a second."""
    request = Request(["/kaa/probe"])
    try:
        with Machine(kernel, initrd=request.archive(), append="console=ttyS0 kaa.exit=debug kaa.run panic=-1",
                     machine=machine, accelerator="kvm", timeout=PROBE_SECONDS) as guest:
            return guest.run().status == NO_SUCH_COMMAND
    except (Refusal, OSError):
        return False


def choose(kernel: pathlib.Path, machine: str, wanted: str = "auto") -> tuple[str, str]:
    """("tcg" or "kvm", why)."""
    if wanted != "auto":
        return wanted, "as asked"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg", "/dev/kvm cannot be opened"
    try:
        works, why = _answer(machine).read_text().strip() == "works", "remembered"
    except OSError:
        works, why = probe(kernel, machine), "probed just now"
        remember(machine, works)
    return ("kvm", f"KVM works here ({why})") if works else ("tcg", f"KVM does not work here ({why})")
