# SPDX-License-Identifier: Apache-2.0
"""Unmodified programs that keep four processors busy say on Kaa what they say on the host."""

from __future__ import annotations

import hashlib
import pathlib
import random

import pytest
import world

pytestmark = pytest.mark.boot

CPUS = ("--cpus", "4", "--mem", "512M")
PYTHON = world.python3()

THREADING = """
import queue, threading
numbers, results = queue.Queue(maxsize=8), []
lock, ready = threading.Lock(), threading.Barrier(9)
done = threading.Condition(lock)
left = 8
def work():
    global left
    ready.wait()
    total = 0
    while (n := numbers.get()) is not None:
        total += n * n
    with lock:
        results.append(total)
        left -= 1
        done.notify()
threads = [threading.Thread(target=work) for _ in range(8)]
for t in threads: t.start()
ready.wait()
for n in range(2000): numbers.put(n)
for t in threads: numbers.put(None)
with done:
    while left: done.wait()
for t in threads: t.join()
print(sum(results), len(results), threading.active_count())
"""
MULTIPROCESSING = """
import multiprocessing as mp
def square(n): return n * n
def produce(q, first):
    for n in range(first, first + 50): q.put(n)
def count(value, lock):
    for _ in range(200):
        with lock: value.value += 1
if __name__ == "__main__":
    mp.set_start_method(METHOD)
    with mp.Pool(4) as pool:
        print(sum(pool.map(square, range(1000), chunksize=10)))
    q = mp.Queue()
    workers = [mp.Process(target=produce, args=(q, 100 * n)) for n in range(4)]
    for w in workers: w.start()
    got = sorted(q.get() for _ in range(200))
    for w in workers: w.join()
    print(got[0], got[-1], len(got), [w.exitcode for w in workers])
    value, lock = mp.Value("i", 0, lock=False), mp.Lock()
    workers = [mp.Process(target=count, args=(value, lock)) for n in range(4)]
    for w in workers: w.start()
    for w in workers: w.join()
    here, there = mp.Pipe()
    here.send({"a": [1, 2]})
    print(value.value, there.recv())
"""
FUTURES = """
import concurrent.futures as cf, hashlib, os
def digest(n): return hashlib.sha256(b"%d" % n * 1000).hexdigest()
if __name__ == "__main__":
    with cf.ProcessPoolExecutor(4) as pool: a = list(pool.map(digest, range(40)))
    with cf.ThreadPoolExecutor(4) as pool: b = list(pool.map(digest, range(40)))
    with cf.ThreadPoolExecutor(4) as pool:
        failing = pool.submit(lambda: 1 / 0)
    print(a == b, hashlib.sha256("".join(a).encode()).hexdigest(), type(failing.exception()).__name__)
"""
AFFINITY = """
import os
print(os.cpu_count(), len(os.sched_getaffinity(0)))
os.sched_setaffinity(0, {2})
print(os.sched_getaffinity(0))
"""
BASH = """
for n in 1 2 3 4; do (sleep 1.$((n * 2)); exit $n) & done
statuses=
for n in 1 2 3 4; do wait -n; statuses="$statuses $?"; done
echo $statuses | tr ' ' '\\n' | sort
sleep 0.05 & first=$!
wait $first; echo "waited $?"
wait -n; echo "nobody left: $?"
seq 20 | while read -r n; do echo $n; done | sort -rn | head -3
"""


def text(lines: int) -> bytes:
    """Lines of words, the same at each run."""
    chosen = random.Random(2)
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    return "".join(f"{chosen.randrange(10**6)} {' '.join(chosen.choices(words, k=6))}\n" for _ in range(lines)).encode()


@pytest.mark.parametrize("name", ["threading", "fork", "spawn", "futures"])
def test_python_in_parallel(same: world.Same, tmp_path: pathlib.Path, name: str) -> None:
    program = {"threading": THREADING, "futures": FUTURES}.get(name) or MULTIPROCESSING.replace("METHOD", repr(name))
    (tmp_path / "program.py").write_text(program)
    ended = same([PYTHON, "program.py"], *CPUS, timeout=90)
    assert ended.status == 0 and not ended.stderr, ended.stderr.decode()


def test_processors_are_counted_and_chosen(kaa: world.Kaa) -> None:
    ended = kaa(PYTHON, "-c", AFFINITY, options=CPUS)
    assert ended == (0, b"4 4\n{2}\n", b"")
    assert kaa("nproc", options=CPUS) == (0, b"4\n", b"")


def test_lscpu_finds_four_cores_of_one_package(kaa: world.Kaa) -> None:
    ended = kaa("lscpu", options=CPUS)
    assert ended.status == 0 and not ended.stderr, ended
    said = dict(line.split(":", 1) for line in ended.stdout.decode().splitlines() if ":" in line)
    wanted = ("CPU(s)", "On-line CPU(s) list", "Core(s) per socket", "Socket(s)", "NUMA node0 CPU(s)")
    assert [said[name].strip() for name in wanted] == ["4", "0-3", "4", "1", "0-3"]
    assert {"fpu", "lm", "sse2"} <= set(said["Flags"].split())
    rows = kaa("lscpu", "-p=CPU,CORE,SOCKET,NODE,ONLINE", options=CPUS).stdout.decode().splitlines()
    assert [row for row in rows if row[0] != "#"] == [f"{n},{n},0,0,Y" for n in range(4)]


def test_xz_with_four_threads(same: world.Same, tmp_path: pathlib.Path) -> None:
    (tmp_path / "words").write_bytes(text(20_000))
    compress = "xz -T4 --block-size=128KiB -2 -c words"
    same(["bash", "-c", f"set -e; {compress} | md5sum; {compress} | xz -dc -T4 | cmp - words"], *CPUS)


def test_sort_in_parallel(same: world.Same, tmp_path: pathlib.Path) -> None:
    data = text(40_000)
    (tmp_path / "words").write_bytes(data)
    ended = same(["sort", "--parallel=4", "-S", "2M", "-k2,3", "-k1n", "words"], *CPUS)
    assert hashlib.md5(ended.stdout).digest() != hashlib.md5(data).digest()


def test_make_with_four_jobs(kaa: world.Kaa, tmp_path: pathlib.Path) -> None:
    """Ten C files and a header; the program that comes out runs, and a second make finds nothing to do."""
    names = [f"part{n}" for n in range(10)]
    (tmp_path / "all.h").write_text("".join(f"int {name}(int);\n" for name in names))
    for n, name in enumerate(names):
        (tmp_path / f"{name}.c").write_text(
            f'#include <string.h>\n#include "all.h"\nint {name}(int x) {{ return x + {n} * (int)strlen("{name}"); }}\n')
    calls = " + ".join(f"{name}(1)" for name in names)
    (tmp_path / "main.c").write_text(
        f'#include <stdio.h>\n#include "all.h"\nint main(void) {{ printf("%d\\n", {calls}); return 0; }}\n')
    (tmp_path / "Makefile").write_text(
        "O = " + " ".join(f"{name}.o" for name in [*names, "main"]) + "\nprogram: $(O)\n\tgcc -o $@ $(O)\n"
        "%.o: %.c all.h\n\tgcc -O1 -c -o $@ $<\n")
    ended = kaa("bash", "-c", "make -s -j4 program && ./program && make -j4 program", options=[*CPUS, "--rw"],
                timeout=150)
    assert ended.status == 0, ended
    assert ended.stdout.splitlines()[0] == str(10 + 5 * 45).encode()
    assert b"up to date" in ended.stdout


def test_xargs_with_four_processes(same: world.Same) -> None:
    same(["bash", "-c", "seq 1 24 | xargs -P4 -n3 sh -c 'echo $(($1 + $2 + $3))' sum | sort -n"], *CPUS)


def test_bash_background_jobs(same: world.Same) -> None:
    same(["bash", "-c", BASH], *CPUS)
