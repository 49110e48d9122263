# SPDX-License-Identifier: Apache-2.0
"""The kernel passes the proofs, docs/locks.md says what they found, and few places opt out."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from kaa.compiler.proofs.lockdoc import EXAMPLES
from kaa.host import paths

MOST_OPT_OUTS = 20


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], pathlib.Path]:
    """One run of all proofs without a build, and the documents that it wrote."""
    folder = tmp_path_factory.mktemp("documents")
    done = subprocess.run([sys.executable, "-m", "kaa.compiler.cli", "prove", "--documents", str(folder)],
                          cwd=paths.HOME, env={"PYTHONPATH": str(paths.SOURCES)}, capture_output=True, text=True,
                          check=False)  # fmt: skip
    return done, folder


def test_nothing_is_refused(proved: tuple[subprocess.CompletedProcess[str], pathlib.Path]) -> None:
    assert proved[0].returncode == 0, proved[0].stdout + proved[0].stderr


def test_few_places_opt_out_and_each_says_why(
    proved: tuple[subprocess.CompletedProcess[str], pathlib.Path],
) -> None:
    said = [line for line in proved[0].stdout.splitlines() if line.startswith("trusted (")]
    assert len(said) < MOST_OPT_OUTS
    assert all(len(line.split(": ", 2)[2]) > 20 for line in said)


def test_the_page_of_locks_is_current(proved: tuple[subprocess.CompletedProcess[str], pathlib.Path]) -> None:
    """The table; examples may go other ways as the code changes. `./kaa docs` writes it anew."""
    made, _, _ = (proved[1] / "locks.md").read_text().partition(EXAMPLES)
    kept, _, _ = (paths.HOME / "docs/locks.md").read_text().partition(EXAMPLES)
    assert made == kept
