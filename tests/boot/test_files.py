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


MOUNTS = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def told(result): return errno.errorcode[ctypes.get_errno()] if result else "ok"
def mount(at, flags=0, source=b"none"): return told(libc.mount(source, at.encode(), b"tmpfs", flags, None))
def umount(at, flags=0): return told(libc.umount2(at.encode(), flags))
def live(): return sum(int(line.split()[1]) for line in open("/proc/kaa/objects") if line.startswith("Mount "))
os.makedirs("/tmp/m")
os.makedirs("/tmp/n/below")
print(mount("/tmp/m"), umount("/tmp/m"))
before = live()
print(mount("/tmp/m")); f = open("/tmp/m/a", "w+"); f.write("kept"); f.flush()
print("open:", umount("/tmp/m")); f.close(); print("closed:", umount("/tmp/m"), live() - before)
print(mount("/tmp/m")); f = open("/tmp/m/a", "w+"); f.write("kept"); f.flush()
print("lazily:", umount("/tmp/m", 2), live() - before); f.seek(0); print(f.read(), os.listdir("/tmp/m"))
f.close(); print("closed:", live() - before)
print(mount("/tmp/m")); os.chdir("/tmp/m"); print("stood in:", umount("/tmp/m"))
if (child := os.fork()) == 0:
    os.chdir("/"); os._exit(0)
os.waitpid(child, 0); print("still:", umount("/tmp/m"))
there, here = os.pipe()
if (child := os.fork()) == 0:
    os.close(here); os.read(there, 1); os._exit(0)
os.chdir(".."); print("a child is there:", umount("/tmp/m"), os.readlink(f"/proc/{child}/cwd"))
os.close(here); os.waitpid(child, 0); print(os.getcwd(), umount("/tmp/m"))
print(mount("/tmp/m")); os.mkdir("/tmp/m/b"); print(mount("/tmp/m/b")); print("covered:", umount("/tmp/m"))
print("lazily:", umount("/tmp/m", 2), live() - before)
print(mount("/tmp/m", 4096, b"/tmp/n"), os.listdir("/tmp/m")); os.chdir("/tmp/m/below/.."); print(os.getcwd())
os.chdir("/"); print(umount("/tmp/m"), live() - before)
"""


BUSY_MOUNTS = MOUNTS[: MOUNTS.index("os.makedirs")] + """
import signal, sys
os.makedirs("/tmp/m")
before = live()
def visit():
    while True:
        try:
            file = os.open("/tmp/m/file", os.O_CREAT)
            os.fstat(file); os.close(file)
            for _ in range(40): os.close(os.open("/tmp/m", 0))
        except OSError as error:
            os.write(2, f"{error}\\n".encode()); os._exit(1)
def start():
    child = os.fork()
    return child if child else visit()
children = [start() for _ in range(3)]
done = {"ok": 0, "EBUSY": 0}
print(mount("/tmp/m"))
while min(done.values()) < 20:
    flag = 2 if done["ok"] % 4 == 3 else 0
    answer = umount("/tmp/m", flag)
    done[answer] += 1
    if answer == "ok" and mount("/tmp/m") != "ok": sys.exit("cannot mount")
for child in children: os.kill(child, signal.SIGKILL)
print([os.waitpid(child, 0)[1] for child in children], umount("/tmp/m"), live() - before)
"""


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


def test_a_mount_is_busy_while_anyone_is_in_it_and_gone_afterwards(kaa: world.Kaa) -> None:
    ended = kaa("python3", "-c", MOUNTS, options=["--cpus", "2"])
    assert ended.status == 0 and ended.stdout.decode().splitlines() == [
        "ok ok", "ok", "open: EBUSY", "closed: ok 0", "ok", "lazily: ok 1", "kept []", "closed: 0",
        "ok", "stood in: EBUSY", "still: EBUSY", "a child is there: EBUSY /tmp/m", "/tmp ok",
        "ok", "ok", "covered: EBUSY", "lazily: ok 0",
        "ok ['below']", "/tmp/m", "ok 0",
    ], ended  # fmt: skip


def test_mounts_that_processors_use_at_once_are_taken_away_when_nobody_does(kaa: world.Kaa) -> None:
    """By its own count of users each, which unmounting sums up."""
    ended = kaa(world.python3(), "-c", BUSY_MOUNTS, options=["--cpus", "4"], timeout=90)
    assert (ended.status, ended.stdout.decode(), ended.stderr) == (0, "ok\n[9, 9, 9] ok 0\n", b""), ended
