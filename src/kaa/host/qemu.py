# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line for one machine. Source: QEMU's own manual pages (qemu-system-x86_64(1), docs of microvm)."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from collections.abc import Sequence

from kaa.host.errors import Refusal

PROGRAM = "qemu-system-x86_64"
DEBIAN_PACKAGE = "qemu-system-x86"
EXIT_PORT = 0x501
"""isa-debug-exit: a write of s ends QEMU with (s << 1 | 1) mod 256."""
STATUS_PORT = 0x505
"""isa-debugcon: the whole status byte, of which isa-debug-exit loses bit 7 (docs/run-request.md)."""
MOST_CPUS = 64
"""The kernel's own limit."""
MACHINES = {
    "microvm": "microvm,acpi=off",
    "q35": "q35",
    "pc": "pc",
}


@dataclasses.dataclass(frozen=True)
class Share:
    """A folder of the host as a virtio-9p device with mount tag `tag`."""

    tag: str
    path: pathlib.Path
    writable: bool = False


@dataclasses.dataclass(frozen=True)
class Port:
    """A virtio serial port `number` called `name`, whose host end is socket `fd` of ours. Number 0 is a console
    (hvc0)."""

    number: int
    name: str
    fd: int


@dataclasses.dataclass
class Hardware:
    """What the machine consists of, apart from the kernel it boots."""

    machine: str = "microvm"
    memory: str = "512M"
    cpus: int = 1
    accelerator: str = "tcg"
    shares: Sequence[Share] = ()
    rng: bool = True
    extra: Sequence[str] = ()


def find() -> str:
    """QEMU's path. Raises Refusal when it is not installed."""
    path = shutil.which(PROGRAM)
    if path is None:
        raise Refusal(f"{PROGRAM} is not installed; Debian has it in the package {DEBIAN_PACKAGE}")
    return path


def _accelerator(hardware: Hardware) -> str:
    """TCG runs each CPU in a thread of its own, but not while it counts instructions: those are one after the other."""
    if hardware.accelerator == "tcg" and hardware.cpus > 1 and "-icount" not in hardware.extra:
        return "tcg,thread=multi"
    return hardware.accelerator


def _device(kind: str, machine: str, properties: str = "") -> list[str]:
    """A virtio device on the machine's bus: mmio on microvm, modern PCI elsewhere."""
    bus = f"virtio-{kind}-device" if machine == "microvm" else f"virtio-{kind}-pci,disable-legacy=on"
    return ["-device", bus + (f",{properties}" if properties else "")]


def _share(share: Share, machine: str) -> list[str]:
    path = str(share.path).replace(",", ",,")
    access = "" if share.writable else ",readonly=on"
    return ["-fsdev", f"local,id=fs-{share.tag},path={path},security_model=none,multidevs=remap{access}",
            *_device("9p", machine, f"fsdev=fs-{share.tag},mount_tag={share.tag}")]


def _port(port: Port) -> list[str]:
    kind = "virtconsole" if port.number == 0 else "virtserialport"
    return ["-chardev", f"socket,id=port{port.number},fd={port.fd}",
            "-device", f"{kind},chardev=port{port.number},nr={port.number},name={port.name}"]


def command(hardware: Hardware, *, log_fd: int, status_fd: int, ports: Sequence[Port]) -> list[str]:
    """The words of QEMU's command line, without the kernel's (`-kernel -initrd -append`)."""
    kind = hardware.machine
    words = [find(), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", MACHINES[kind],
             "-accel", _accelerator(hardware), "-cpu", "host" if hardware.accelerator == "kvm" else "max",
             "-m", hardware.memory, "-smp", str(hardware.cpus), "-global", "virtio-mmio.force-legacy=false",
             "-chardev", f"socket,id=log,fd={log_fd}", "-serial", "chardev:log",
             "-chardev", f"socket,id=status,fd={status_fd}",
             "-device", f"isa-debugcon,iobase={STATUS_PORT:#x},chardev=status",
             "-device", f"isa-debug-exit,iobase={EXIT_PORT:#x},iosize=2"]
    if hardware.rng:
        words += ["-object", "rng-builtin,id=rng", *_device("rng", kind, "rng=rng")]
    for share in hardware.shares:
        words += _share(share, kind)
    if ports:
        words += _device("serial", kind)
        for port in ports:
            words += _port(port)
    return [*words, *hardware.extra]
