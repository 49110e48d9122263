# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the booted tests: the kernel image, machines, and commands run on the host and on Kaa side by side."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest
import world

from kaa.host import build, cpio
from kaa.host.errors import Refusal


@pytest.fixture(scope="session")
def kernel() -> pathlib.Path:
    """The image, built from the sources as they are (or the one that KAA_TEST_KERNEL names).

    A kernel that does not build fails every test that needs it.
    """
    chosen = os.environ.get("KAA_TEST_KERNEL")
    if chosen is not None:
        return pathlib.Path(chosen)
    try:
        return build.ensure()
    except Refusal as refusal:
        pytest.fail(str(refusal), pytrace=False)


@pytest.fixture(scope="session")
def programs() -> world.Programs:
    """C programs of tests/boot/programs, static, by name."""
    return world.Programs()


@pytest.fixture
def boot(kernel: pathlib.Path) -> world.Boot:
    """Boots the kernel with an initramfs of the test's own and runs one command there."""
    return world.Boot(kernel)


@pytest.fixture
def kaa(kernel: pathlib.Path, tmp_path: pathlib.Path) -> world.Kaa:
    """`./kaa run …` as a person calls it, in a folder of the test's own."""
    return world.Kaa(kernel, tmp_path)


@pytest.fixture(scope="session")
def busybox_root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A cpio root with a static busybox under all of its names."""
    path = tmp_path_factory.mktemp("root") / "root.cpio"
    path.write_bytes(cpio.write(world.busybox_entries()))
    return path


@pytest.fixture
def same(kaa: world.Kaa, tmp_path: pathlib.Path) -> world.Same:
    """Checks that a command says the same, byte for byte, on the host and on Kaa."""
    def check(words: Sequence[str], *options: str, stdin: bytes = b"", timeout: float = 60,
              environment: Mapping[str, str] | None = None) -> world.Ended:
        here = subprocess.run(words, input=stdin, capture_output=True, cwd=tmp_path, timeout=timeout,
                              env=environment or world.ENVIRONMENT)
        there = kaa(*words, options=options, stdin=stdin, timeout=timeout, environment=environment)
        status = here.returncode if here.returncode >= 0 else 128 - here.returncode
        expected = (status, here.stdout, here.stderr)
        assert there == expected, f"on Kaa: {there}; on the host: {expected}"
        return there
    return check


if sys.platform != "linux":
    pytest.skip("the booted tests compare with Linux", allow_module_level=True)
