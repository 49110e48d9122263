# SPDX-License-Identifier: Apache-2.0
"""The generated pages are those of the sources, and the pages point at things that exist."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

from kaa.host import paths

PAGES = [paths.HOME / "README.md", *sorted((paths.HOME / "docs").glob("*.md"))]


def test_the_page_of_system_calls_is_current() -> None:
    """In a process of its own: importing the whole kernel registers every call."""
    done = subprocess.run([sys.executable, "-c", "from kaa.host import syscalls_doc as s; print(s.page(), end='')"],
                          env={"PYTHONPATH": str(paths.SOURCES)}, capture_output=True, text=True, check=True)
    assert (paths.HOME / "docs/syscalls.md").read_text() == done.stdout, "run ./kaa docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: pathlib.Path) -> None:
    prose = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose):
        assert (page.parent / target).exists(), f"{page.name} points at {target}"
