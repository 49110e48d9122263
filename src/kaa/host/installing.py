# SPDX-License-Identifier: Apache-2.0
"""Programs from Debian's packages when they are missing: said first, then installed by apt-get as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from kaa.host import qemu
from kaa.host.errors import Refusal


def _as_root(*command: str) -> bool:
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run([*prefix, *command], stdout=sys.stderr, env=environment).returncode == 0


def ensure(program: str, package: str) -> None:
    """Does nothing when `program` is there. Raises Refusal when it cannot be had."""
    if shutil.which(program) is not None:
        return
    if shutil.which("apt-get") is None or (os.geteuid() != 0 and shutil.which("sudo") is None):
        raise Refusal(f"{program} is not installed and there is no apt-get (with root or sudo) to install it by")
    print(f"kaa: {program} is missing; installing Debian's package {package} (apt-get, as root)", file=sys.stderr,
          flush=True)
    install = ("apt-get", "install", "-y", "--no-install-recommends", package)
    if not (_as_root(*install) or (_as_root("apt-get", "update") and _as_root(*install))):
        raise Refusal(f"{package} could not be installed; apt-get's message is above")


def ensure_qemu() -> None:
    """QEMU. Raises Refusal when it cannot be had."""
    ensure(qemu.PROGRAM, qemu.DEBIAN_PACKAGE)


def ensure_test_programs() -> None:
    """What the tests run beside QEMU. Raises Refusal."""
    ensure_qemu()
    ensure("busybox", "busybox-static")
    ensure("gdb", "gdb")
