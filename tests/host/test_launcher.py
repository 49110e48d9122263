# SPDX-License-Identifier: Apache-2.0
"""./kaa: the environment is made once, from the lock, and the caller's own Python settings stay out of it."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

from kaa.host import paths

SHOWS = (
    "import json, os, sys\n"
    "print(json.dumps([sys.argv[1:], sys.prefix, os.environ.get('PYTHONPATH'), sys.path[0]]))\n"
)


@pytest.fixture
def checkout(tmp_path: pathlib.Path) -> pathlib.Path:
    """A checkout whose host side only shows how it was called, and which needs no packages."""
    shutil.copy(paths.HOME / "kaa", tmp_path / "kaa")
    (tmp_path / "requirements.lock").write_text("# nothing\n")
    host = tmp_path / "src/kaa/host"
    host.mkdir(parents=True)
    (host / "__main__.py").write_text(SHOWS)
    return tmp_path


def call(checkout: pathlib.Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL"))}
    return subprocess.run([str(checkout / "kaa"), *words], capture_output=True, text=True, cwd="/",
                          env={**clean, **environment}, stdin=subprocess.DEVNULL, timeout=120)


@pytest.mark.slow
def test_first_use_makes_the_environment_and_later_ones_use_it(checkout: pathlib.Path) -> None:
    first = call(checkout, "run", "-x", "a b")
    assert first.returncode == 0 and "first use" in first.stderr, first.stderr
    assert '["run", "-x", "a b"]' in first.stdout and str(checkout / ".venv") in first.stdout
    second = call(checkout, PYTHONPATH="/elsewhere", PYTHONSTARTUP="/nonsense")
    assert second.returncode == 0 and second.stderr == ""
    assert '"/elsewhere"' in second.stdout, "the command inherits the caller's variables"
    (checkout / "requirements.lock").write_text("# changed\n")
    assert "first use" in call(checkout).stderr


@pytest.mark.slow
def test_packages_that_cannot_be_had_are_told_and_leave_nothing_half_made(checkout: pathlib.Path) -> None:
    (checkout / "requirements.lock").write_text(f"no-such-package-kaa==1 --hash=sha256:{'0' * 64}\n")
    failed = call(checkout, PIP_NO_INDEX="1")
    assert failed.returncode == 2 and failed.stdout == "" and "Traceback" not in failed.stderr
    assert "pip could not install" in failed.stderr.splitlines()[-1]
    (checkout / "requirements.lock").write_text("# nothing\n")
    assert call(checkout).returncode == 0


def test_the_lock_pins_and_hashes_everything() -> None:
    text = (paths.HOME / "requirements.lock").read_text()
    entries = [line for line in text.splitlines() if line and line[0] not in " #"]
    assert entries and all("==" in line and line.endswith("\\") for line in entries)
    assert text.count("--hash=sha256:") >= len(entries)


def test_the_lock_has_what_pyproject_asks_for() -> None:
    import tomllib
    wanted = tomllib.loads((paths.HOME / "pyproject.toml").read_text())["project"]["dependencies"]
    lock = (paths.HOME / "requirements.lock").read_text()
    assert all(f"{word.replace('[nodejs]', '')} \\" in lock for word in wanted)
