# SPDX-License-Identifier: Apache-2.0
"""stress-ng's stressors of threads, tasks and memory on four processors, with their own checks (--verify). How far each
gets in its two seconds depends on the host; that each ends, by itself and content, does not."""

from __future__ import annotations

import re

import pytest
import world

from kaa.host import installing
from kaa.host.errors import Refusal

pytestmark = pytest.mark.boot

STRESSORS = {
    "threads": ("futex", "mutex", "sem", "pthread", "switch", "context", "yield"),
    "tasks": ("fork", "vfork", "clone", "affinity", "pipe", "nice", "schedpolicy"),
    "memory": ("mmap --mmap-bytes 32M", "mremap --mremap-bytes 16M", "madvise", "fault",
               "vm --vm-bytes 32M --page-in", "mincore", "msync"),
}
SCRIPT = """
for words do
    set -- $words
    name=$1; shift
    stress-ng --temp-path /tmp --verify --metrics-brief -t 2 --$name 4 "$@" 2>&1
    echo "ended $name $?"
done
"""
PATIENCE = 600
"""Seconds: how busy the host may be."""


@pytest.fixture(scope="module", autouse=True)
def stress_ng() -> None:
    """The program."""
    try:
        installing.ensure("stress-ng", "stress-ng")
    except Refusal as refusal:
        pytest.skip(str(refusal))


@pytest.mark.parametrize("what", STRESSORS)
def test_stressors_end_content_on_four_processors(kaa: world.Kaa, what: str) -> None:
    words = STRESSORS[what]
    ended = kaa("sh", "-c", SCRIPT, "sh", *words, options=["--cpus", "4", "--mem", "1G", "-v"], timeout=PATIENCE)
    said, log = ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace")
    assert ended.status == 0, said + log
    assert world.TRACEBACK not in log, log[-6000:]
    assert not re.search(r"^stress-ng: (fail|error):|skipp|unsupported", said, re.MULTILINE), said
    names = [word.split()[0] for word in words]
    assert re.findall(r"^ended (\S+) (\d+)$", said, re.MULTILINE) == [(name, "0") for name in names], said
    assert re.findall(r"dispatching hogs: 4 (\S+)$", said, re.MULTILINE) == names, said
    assert said.count("successful run completed") == len(names), said
