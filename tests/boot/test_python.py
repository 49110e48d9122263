# SPDX-License-Identifier: Apache-2.0
"""CPython's own tests of the calls that this kernel gives it: those that need no network and no minute."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest
import world

pytestmark = pytest.mark.boot

OS_CASES = [
    "FileTests", "StatAttributeTests", "UtimeTests", "WalkTests", "FwalkTests", "MakedirTests", "RemoveDirsTests",
    "DevNullTests", "URandomTests", "GetRandomTests", "TestInvalidFD", "LinkTests", "PidTests", "ProgramPriorityTests",
    "ExtendedAttributeTests", "TermsizeTests", "MemfdCreateTests", "EventfdTests", "OSErrorTests", "CPUCountTests",
    "FDInheritanceTests", "BlockingTests", "TestScandir", "TestDirEntry", "PathTConverterTests", "PosixUidGidTests",
]  # fmt: skip
GROUPS = {
    "files": ["test.test_fileio", "test.test_pipes", "test.test_select", "test.test_pty", "test.test_mmap"],
    "os": [f"test.test_os.{name}" for name in OS_CASES],
    "posix": ["test.test_posix.PosixTester", "test.test_posix.PosixGroupsTester", "test.test_fcntl"],
}
LEFT_OUT = {
    "test_fcntl_64_bit": "F_NOTIFY",
    "test_sched_getaffinity": "a pid of -1",
}
"""By name, with what of them is not here."""
RUN = """
import sys, unittest
left_out = sys.argv[1].split(",")
suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[2:])
def tests(part):
    for one in part:
        if isinstance(one, unittest.TestSuite):
            yield from tests(one)
        elif one.id().rpartition(".")[2] not in left_out:
            yield one
result = unittest.TextTestRunner(verbosity=1).run(unittest.TestSuite(tests(suite)))
sys.exit(not result.wasSuccessful())
"""


@pytest.fixture(scope="module")
def interpreter() -> str:
    """A python that has its own tests with it."""
    for path in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        if os.access(path, os.X_OK):
            asked = subprocess.run([path, "-I", "-c", "import test.test_os"], capture_output=True, check=False)
            if asked.returncode == 0:
                return path
    pytest.skip("no python3 here has the test package")


@pytest.mark.parametrize("group", GROUPS)
def test_python_finds_its_calls_in_order(kaa: world.Kaa, interpreter: str, tmp_path: pathlib.Path, group: str) -> None:
    (tmp_path / "run.py").write_text(RUN)
    script = 'cd /tmp && exec "$@" '
    ended = kaa(
        "sh", "-c", script, "sh", interpreter, str(tmp_path / "run.py"), ",".join(LEFT_OUT), *GROUPS[group],
        options=["--mem", "1G"], timeout=240,
    )  # fmt: skip
    told = ended.stderr.decode(errors="replace")
    ran = re.search(r"^Ran (\d+) tests", told, re.MULTILINE)
    assert ended.status == 0 and ran is not None, told[-6000:]
    assert int(ran[1]) > 60, told[-2000:]
