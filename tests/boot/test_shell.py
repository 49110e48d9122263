# SPDX-License-Identifier: Apache-2.0
"""Shells and the programs that one uses in them say on Kaa what they say on the host, byte for byte.

One boot runs many scripts, each in an empty folder under /tmp; what they say is compared script by script.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import pytest
import world

pytestmark = pytest.mark.boot
SCRIPTS = pathlib.Path(__file__).parent / "scripts"
DRIVER = """
exec 2>&1
for script in "$@"; do
    mkdir -p /tmp/kaa-scripts/w && cd /tmp/kaa-scripts/w
    echo "=== $script"
    timeout 60 bash "$HERE/$script"
    echo "status $?"
    cd / && rm -rf /tmp/kaa-scripts
done
"""


def parts(text: bytes) -> dict[str, str]:
    """What each script said."""
    pieces = text.decode(errors="replace").split("=== ")[1:]
    return {name: rest for name, _, rest in (piece.partition("\n") for piece in pieces)}


@pytest.mark.parametrize("group", ["coreutils", "bash", "python", "tools"])
def test_scripts_say_what_they_say_on_the_host(kaa: world.Kaa, tmp_path: pathlib.Path, group: str) -> None:
    shutil.copytree(SCRIPTS / group, tmp_path / "scripts")
    names = sorted(path.name for path in (SCRIPTS / group).iterdir())
    environment = {**world.ENVIRONMENT, "HERE": str(tmp_path / "scripts")}
    words = ["bash", "-c", DRIVER, "driver", *names]
    here = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=200)
    there = kaa(*words, environment=environment, timeout=240, options=["--mem", "512M"])
    assert (there.status, there.stderr) == (0, b"")
    assert parts(there.stdout) == parts(here.stdout)
