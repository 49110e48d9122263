# SPDX-License-Identifier: Apache-2.0
"""QEMU from Debian's packages when it is missing: said first, then installed by apt-get as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from kaa.host import qemu
from kaa.host.errors import Refusal


def _as_root(*command: str) -> bool:
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    return subprocess.run([*prefix, *command], stdout=sys.stderr, stdin=subprocess.DEVNULL).returncode == 0


def ensure_qemu() -> None:
    """Does nothing when QEMU is there. Raises Refusal when it cannot be had."""
    if shutil.which(qemu.PROGRAM) is not None:
        return
    package = qemu.DEBIAN_PACKAGE
    if shutil.which("apt-get") is None or (os.geteuid() != 0 and shutil.which("sudo") is None):
        raise Refusal(f"{qemu.PROGRAM} is not installed and there is no apt-get (with root or sudo) to install it by")
    print(f"kaa: QEMU is missing; installing Debian's {package} (apt-get, as root)", file=sys.stderr, flush=True)
    install = ("apt-get", "install", "-y", "--no-install-recommends", package)
    if not (_as_root(*install) or (_as_root("apt-get", "update") and _as_root(*install))):
        raise Refusal(f"{package} could not be installed; apt-get's message is above")
