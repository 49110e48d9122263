# SPDX-License-Identifier: Apache-2.0
"""Files, sockets and what waits for them: calls at the edges say what the host's kernel says, and threads on several
processors leave everything in order."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest
import world

from kaa.host import cpio

pytestmark = pytest.mark.boot
FOLDERS = [cpio.directory("dev"), cpio.directory("proc"), cpio.directory("tmp", 0o1777)]


@pytest.fixture
def memory_folder() -> Iterator[pathlib.Path]:
    """A fresh folder on a tmpfs of the host, as the guest's /tmp is one."""
    folder = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_calls_at_the_edges_say_what_the_host_says(
    boot: world.Boot, programs: world.Programs, memory_folder: pathlib.Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("trusted.* attributes are root's")
    here = subprocess.run(
        [programs.path("file_calls"), memory_folder], capture_output=True, timeout=30, pass_fds=(), check=True
    )
    result = boot("/bin/file_calls", "/tmp", entries=[*FOLDERS, programs.entry("file_calls")])
    world.assert_sound(result)
    assert result.status == 0
    assert result.stdout.decode().splitlines() == here.stdout.decode().splitlines()


@pytest.mark.parametrize(("cpus", "rounds"), [(1, 300), (2, 60), (4, 40)])
def test_threads_at_the_same_files_leave_them_in_order(
    boot: world.Boot, programs: world.Programs, cpus: int, rounds: int
) -> None:
    result = boot(
        "/bin/file_races", "/tmp", str(rounds), entries=[*FOLDERS, programs.entry("file_races")], cpus=cpus,
        timeout=120,
    )  # fmt: skip
    world.assert_sound(result)
    assert (result.status, result.stdout) == (0, b"sound\n")
