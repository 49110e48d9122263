# SPDX-License-Identifier: Apache-2.0
"""Unmodified programs say on Kaa what they say on the host, byte for byte, and end with the same status."""

from __future__ import annotations

import os
import pathlib
import stat
import subprocess

import pytest
import world

pytestmark = pytest.mark.boot

TEN_APPLETS = (
    "seq 1 2000 | grep -v 7 | sed 's/1/one /g' | awk '{ print NR, $0 }' | tr a-z A-Z | cut -c1-12 | sort -r | uniq -c"
    " | head -n 300 | tee /dev/null | md5sum"
)
BASH = """
set -u
count=$(printf '%s\\n' {1..50} | grep -c 3)
cat <<EOF | sort -r
there are $count
and $((count * 2)) of them
EOF
while read -r word rest; do echo "$rest:$word"; done < <(echo one two; echo three four)
(exit 3) || echo "status $?"
trap 'echo bye' EXIT
a=(x y z); echo "${a[@]:1}" "${#a[@]}"
exit 7
"""
PYTHON = world.python3()
MODULES = (
    "argparse asyncio base64 bisect collections csv datetime decimal email.message fractions functools hashlib heapq"
    " itertools json logging pathlib random re sqlite3 struct tempfile textwrap unittest urllib.parse uuid zlib"
).split()
MOUNTED_OVER = {"dev", "proc", "sys", "tmp", "run", "var", "home", "root", world.ENVIRONMENT["HOME"].strip("/")}
"""The home folder too, if it is there."""


def test_a_pipeline_of_ten_applets_from_the_host(same: world.Same) -> None:
    same(["busybox", "sh", "-c", TEN_APPLETS])


def test_a_pipeline_of_ten_applets_from_a_cpio_root(kaa: world.Kaa, busybox_root: pathlib.Path) -> None:
    here = subprocess.run(["busybox", "sh", "-c", TEN_APPLETS], capture_output=True, env=world.ENVIRONMENT)
    there = kaa("/bin/busybox", "sh", "-c", TEN_APPLETS, options=["--root", str(busybox_root)])
    assert there == (here.returncode, here.stdout, here.stderr)


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_the_other_machines_run_it_too(kaa: world.Kaa, busybox_root: pathlib.Path, machine: str) -> None:
    here = subprocess.run(["busybox", "sh", "-c", TEN_APPLETS], capture_output=True, env=world.ENVIRONMENT)
    there = kaa("busybox", "sh", "-c", TEN_APPLETS, options=["--machine", machine, "--root", str(busybox_root)])
    assert there == (here.returncode, here.stdout, here.stderr)


def test_a_folder_as_root(kaa: world.Kaa, tmp_path: pathlib.Path) -> None:
    root = tmp_path / "root"
    for name in ("bin", "dev", "proc", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    (root / "bin/busybox").write_bytes(world.busybox())
    (root / "bin/busybox").chmod(0o755)
    (root / "bin/sh").symlink_to("busybox")
    (root / "note").write_text("from the folder\n")
    ended = kaa("sh", "-c", "busybox cat /note; busybox pwd; busybox ls /", options=["--root", str(root)])
    assert ended == (0, b"from the folder\n/\nbin\ndev\nnote\nproc\nsys\ntmp\n", b"")


def test_bash_with_pipes_substitution_and_a_here_document(same: world.Same) -> None:
    same(["bash", "-c", BASH])


def test_ls_of_the_root_folder(kaa: world.Kaa) -> None:
    """Mount points differ from what they cover in date and link count (by whose width ls pads); all else is the
    same."""
    here = subprocess.run(["ls", "-l", "/"], capture_output=True, env=world.ENVIRONMENT)
    there = kaa("ls", "-l", "/")

    def lines(text: bytes) -> list[str]:
        whole = [line.split(maxsplit=8) for line in text.decode().splitlines()[1:]]
        return [words[8] if words[8] in MOUNTED_OVER else " ".join(words) for words in whole]
    assert (there.status, there.stderr, lines(there.stdout)) == (here.returncode, here.stderr, lines(here.stdout))


def test_ls_of_folders_that_nothing_is_mounted_on(same: world.Same) -> None:
    same(["ls", "-la", "/usr", "/etc"])


def test_the_main_job(same: world.Same) -> None:
    same([PYTHON, "-c", "import sys, json; print(json.dumps({'hello': sys.version}))"])


def test_python_hashes_a_file_of_the_shared_folder(same: world.Same, tmp_path: pathlib.Path) -> None:
    (tmp_path / "data").write_bytes(os.urandom(10 << 20))
    same([PYTHON, "-c", "import hashlib; print(hashlib.file_digest(open('data', 'rb'), 'sha256').hexdigest())"])


def test_python_imports_twenty_modules(same: world.Same) -> None:
    same([PYTHON, "-c", f"import sys, {', '.join(MODULES)}; print(len([m for m in {MODULES!r} if m in sys.modules]))"])


def test_python_runs_a_subprocess(same: world.Same) -> None:
    same([PYTHON, "-c", "import subprocess as s; r = s.run(['sh', '-c', 'cat; echo err >&2; exit 5'], input=b'in',"
                        " capture_output=True); print(r.returncode, r.stdout, r.stderr)"])


def test_python_threads_and_pipes(same: world.Same) -> None:
    same([PYTHON, "-c", "import threading, queue, os\nq = queue.Queue()\n"
                        "ts = [threading.Thread(target=lambda i=i: q.put(i * i)) for i in range(8)]\n"
                        "[t.start() for t in ts]; [t.join() for t in ts]\n"
                        "r, w = os.pipe(); os.write(w, b'x' * 70); print(sorted(q.queue), len(os.read(r, 100)))"])


def test_python_raises_an_exception(same: world.Same, tmp_path: pathlib.Path) -> None:
    (tmp_path / "wrong.py").write_text("def f():\n    return {}['key']\n\nf()\n")
    ended = same([PYTHON, "wrong.py"])
    assert ended.status == 1 and b"KeyError: 'key'" in ended.stderr


def test_python_dies_of_a_segmentation_fault(same: world.Same) -> None:
    assert same([PYTHON, "-c", "import ctypes; ctypes.string_at(8)"]).status == 139


@pytest.mark.parametrize("signal, status", [("TERM", 143), ("KILL", 137), ("ABRT", 134)])
def test_a_command_that_a_signal_ends(kaa: world.Kaa, signal: str, status: int) -> None:
    assert kaa("sh", "-c", f"kill -{signal} $$").status == status


@pytest.mark.parametrize("status", [0, 1, 42, 127, 128, 255])
def test_the_exit_status_is_the_commands(kaa: world.Kaa, status: int) -> None:
    assert kaa("sh", "-c", f"exit {status}").status == status


def test_environment_folder_and_identity_travel(same: world.Same) -> None:
    same(["sh", "-c", 'echo "$GREETING"; pwd; id -u; id -g; umask; echo "$0" "$@"', "name", "a b", "", "*"],
         environment={**world.ENVIRONMENT, "GREETING": "hello, \"world\" \n=x"})


def test_the_shared_folder_is_read_only_unless_asked(kaa: world.Kaa, tmp_path: pathlib.Path) -> None:
    (tmp_path / "given").write_text("kept")
    assert kaa("sh", "-c", "echo x > made; echo y > given").status != 0
    assert not (tmp_path / "made").exists() and (tmp_path / "given").read_text() == "kept"


def test_the_shared_folder_is_written_when_asked(kaa: world.Kaa, tmp_path: pathlib.Path) -> None:
    (tmp_path / "given").write_text("old")
    script = "echo new > made && mkdir d && mv made d/moved && ln -s moved d/link && rm given && chmod 640 d/moved"
    assert kaa("sh", "-c", script, options=["--rw"]) == (0, b"", b"")
    assert (tmp_path / "d/link").read_text() == "new\n" and not (tmp_path / "given").exists()
    assert stat.S_IMODE((tmp_path / "d/moved").stat().st_mode) == 0o640


def test_the_rest_of_the_host_cannot_be_written(kaa: world.Kaa) -> None:
    ended = kaa("sh", "-c", "echo x > /etc/kaa-was-here", options=["--rw"])
    assert ended.status != 0 and not os.path.exists("/etc/kaa-was-here")


def test_what_programs_must_write_can_be_written(kaa: world.Kaa) -> None:
    script = "for d in /tmp /run /var/tmp; do echo $d > $d/kaa-was-here && cat $d/kaa-was-here; done"
    assert kaa("sh", "-c", script) == (0, b"/tmp\n/run\n/var/tmp\n", b"")
    assert not os.path.exists("/tmp/kaa-was-here")
