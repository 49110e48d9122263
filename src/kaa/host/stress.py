# SPDX-License-Identifier: Apache-2.0
"""`./kaa bench stress`: a random mix of stress-ng's stressors, for some minutes, in one machine.

A seed gives rounds: some stressors with some workers each, all at once, with --verify. Half of the rounds end by the
clock; the others end when each worker has done a number of operations (half of what the clock's rounds show to be
possible), with no signal that would wake who sleeps for ever: a lost wake-up shows as a hang. A shell in the guest
reads the rounds and runs them; here the answers are read, and a watch is kept: when no answer comes for too long, gdb
prints what every processor and task does (`kaa-tasks`), and that is the end, as is a kernel that stops.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

from kaa.host import build, gdb, installing, run
from kaa.host.errors import FAILED
from kaa.host.machine import Machine, Result
from kaa.host.streams import FdSource

ISSUE = ("futex", "mutex", "sem", "fork", "vfork", "clone", "pthread", "mmap", "mremap", "madvise", "switch", "context",
         "affinity", "pipe", "yield", "nice", "schedpolicy", "fault", "mincore", "msync")
"""What threads, the scheduler and memory are stressed by."""
BEYOND = ("access", "alarm", "atomic", "bad-altstack", "brk", "chdir", "chmod", "clock", "close", "copy-file", "daemon",
          "dentry", "dir", "dup", "enosys", "env", "epoll", "eventfd", "exit-group", "fallocate", "fcntl", "fifo",
          "filename", "flock", "forkheavy", "fpunch", "fstat", "full", "getdent", "getrandom", "hrtimers",
          "itimer", "kcmp", "kill", "lease", "link", "loadavg", "locka", "lockf", "lockofd", "malloc", "membarrier",
          "memfd", "mknod", "mlock", "mmapaddr", "mmapfork", "mmapmany", "mprotect", "munmap", "nanosleep", "null",
          "open", "pagemove", "personality", "pidfd", "pipeherd", "poll", "prctl", "procfs", "race-sched",
          "ramfs", "rename", "resched", "ring-pipe", "rlimit", "rmap", "seek",
          "sendfile", "session", "set", "sigabrt", "sigchld", "sigfd", "sigfpe", "sigio", "signal", "signest",
          "sigpending", "sigpipe", "sigq", "sigrt", "sigsegv", "sigsuspend", "sigtrap", "sleep", "sockfd", "sockpair",
          "softlockup", "splice", "stack", "symlink", "sysbadaddr", "sysinfo", "tee", "timer",
          "timerfd", "tlb-shootdown", "tmpfs", "touch", "tree", "urandom", "utime", "vforkmany", "vm", "vm-rw",
          "vm-splice", "wait", "waitcpu", "zero", "zombie")
BY_THE_CLOCK = frozenset((
    "alarm", "sem", "mmap", "madvise", "yield", "chdir", "chmod", "forkheavy", "fpunch", "hrtimers", "link", "memfd",
    "mmapfork", "loadavg", "pipeherd", "procfs", "sigio", "softlockup", "symlink", "tmpfs", "tree", "vforkmany"))
"""Those that do not end by a number of operations, on Linux either, or not soon."""
LIMITS = {"vm": ("--vm-bytes", "64M"), "mmap": ("--mmap-bytes", "64M"), "malloc": ("--malloc-bytes", "16M")}
"""So that a round fits the machine's memory: what runs out of it tests only who is killed first."""
PATIENCE = 400.0
"""Seconds without an answer after which a round hangs: hosts may be busy."""
GOOD_STATUSES = (0, 3)
"""stress-ng(1): success; resources were missing (a stressor that asks for more memory than there is)."""
RATE = re.compile(r"stress-ng: metrc: \[\d+\] ([\w-]+) +(\d+) +([\d.]+) +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+\s*$")
BUG = "Traceback (most recent call last):"
ENDED = "kaa-stress: ended "
SHELL = f"""
while read -r words; do
    ( stress-ng --temp-path /tmp --verify --metrics-brief $words 2>&1; echo "{ENDED}$?" ) &
done
wait
"""


@dataclasses.dataclass
class Round:
    """Stressors that run at once."""

    number: int
    stressors: dict[str, int]
    """{name: workers}"""
    words: list[str]
    operations: bool
    """It ends when the operations are done, not by the clock."""


class Plan:
    """The rounds that a seed gives."""

    def __init__(self, seed: int, names: list[str], seconds: int) -> None:
        self.random = random.Random(seed)
        self.names = names
        self.seconds = seconds
        self.number = 0
        self.rates: dict[str, float] = {}
        """Operations a second of one worker, the slowest seen."""

    def next(self) -> Round:
        """Up to four stressors with up to four workers each. Which come next is the seed's; how many operations they
        do, the host's."""
        self.number += 1
        names = self.random.sample(self.names, min(self.random.choice((1, 2, 2, 3, 4)), len(self.names)))
        stressors = {name: self.random.randint(1, 4) for name in names}
        by_operations = self.random.random() < 0.5 and all(
            self.rates.get(name, 0) >= 1 and name not in BY_THE_CLOCK for name in names)
        words = ["--seed", str(self.random.randrange(1 << 31)), "-t", "0" if by_operations else str(self.seconds)]
        words += self.random.choice(([], ["--page-in"]))
        for name, workers in stressors.items():
            words += [f"--{name}", str(workers), *LIMITS.get(name, ())]
            if by_operations:
                count = self.rates[name] * workers * self.seconds / (2 * len(names))
                words += [f"--{name}-ops", str(max(int(count), 1))]
        return Round(self.number, stressors, words, by_operations)

    def learn(self, name: str, operations: int, seconds: float, workers: int) -> None:
        """What a round that ended by the clock showed."""
        rate = operations / max(seconds, 0.01) / workers
        self.rates[name] = min(rate, self.rates.get(name, rate))


class Mix:
    """One machine's rounds: hands them out, reads the answers, watches. A Sink for the guest's output."""

    def __init__(self, plan: Plan, seconds: float) -> None:
        self.plan = plan
        self.reader, self.writer = os.pipe()
        self.deadline = time.monotonic() + seconds
        self.answered = time.monotonic()
        self.round: Round | None = None
        self.lines: list[str] = []
        self.partial = b""
        self.runs: collections.Counter[str] = collections.Counter()
        self.operations: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self.hung = False

    def fileno(self) -> int | None:
        return None

    def write(self, data: bytes | memoryview) -> int:
        *lines, self.partial = (self.partial + bytes(data)).split(b"\n")
        for line in lines:
            self._line(line.decode(errors="replace"))
        return len(data)

    def end(self) -> None:
        pass

    def start_round(self) -> None:
        """The next round goes to the guest's shell, or the end of the file when the time is over."""
        self.lines = []
        self.answered = time.monotonic()
        if self.answered >= self.deadline:
            os.close(self.writer)
            self.round = None
            return
        self.round = self.plan.next()
        words = " ".join(self.round.words)
        print(f"round {self.round.number}: {words}", flush=True)
        os.write(self.writer, words.encode() + b"\n")

    def _line(self, line: str) -> None:
        if self.round is None:
            return
        if line.startswith(ENDED):
            self._ended(self.round, int(line.removeprefix(ENDED)))
            self.start_round()
            return
        self.lines.append(line)
        if (rate := RATE.match(line)) is not None and (name := rate[1]) in self.round.stressors:
            self.operations[name] += int(rate[2])
            if not self.round.operations:
                self.plan.learn(name, int(rate[2]), float(rate[3]), self.round.stressors[name])

    def _ended(self, round_: Round, status: int) -> None:
        self.runs.update(round_.stressors)
        said = [line for line in self.lines if re.match(r"stress-ng: (fail|error):", line)]
        if status not in GOOD_STATUSES or any(": fail:" in line for line in said):
            self.failures.append(f"round {round_.number} ({' '.join(round_.words)}): status {status}")
            print("\n".join([self.failures[-1], *said[:12]]), flush=True)

    def waited_too_long(self) -> bool:
        """Whether the guest gave no answer for so long that it hangs."""
        self.hung = self.hung or time.monotonic() - self.answered > PATIENCE
        return self.hung


def show_state(kernel: pathlib.Path, stub: pathlib.Path) -> None:
    """What the machine's processors and tasks do, by gdb."""
    debug = kernel.parent / "debug" / kernel.name
    commands = ["thread apply all backtrace 16", "kaa-tasks"]
    words = gdb.gdb_words(debug if debug.exists() else kernel, stub, [], commands, batch=True)
    subprocess.run(words, timeout=120, check=False)


def stress(mix: Mix, kernel: pathlib.Path, options: run.Options) -> Result:
    """Boots the machine and runs the mix in it; how it ended."""
    root = run.open_root(None)
    request, shares = run.request_for(["sh", "-c", SHELL], options, root)
    request.terminal = None
    append = " ".join(filter(None, (run.COMMAND_LINE, root.words(), options.append)))
    with tempfile.TemporaryDirectory(prefix="kaa-stress-") as folder:
        stub = pathlib.Path(folder) / "stub"
        extra = ["-chardev", f"socket,id=gdb,path={stub},server=on,wait=off", "-gdb", "chardev:gdb"]
        with Machine(kernel, initrd=root.archive + request.archive(), append=append, cpus=options.cpus, timeout=None,
                     memory=run.check_memory(options.memory, root.archive), shares=shares, extra=extra) as machine:
            mix.start_round()
            result = machine.run(FdSource(mix.reader), mix, mix, until=lambda: _watch(mix, kernel, stub))
            return result


def _watch(mix: Mix, kernel: pathlib.Path, stub: pathlib.Path) -> bool:
    if not mix.waited_too_long():
        return False
    print(f"no answer for {PATIENCE:g} s; the round so far:", *mix.lines[-20:], sep="\n", flush=True)
    show_state(kernel, stub)
    return True


def verdict(mix: Mix, result: Result) -> int:
    """Tells what ran and how it ended; the exit status."""
    for name in sorted(mix.runs):
        print(f"{name:16} {mix.runs[name]:5} workers {mix.operations[name]:12} operations")
    print(f"{mix.plan.number} rounds, {len(mix.runs)} stressors, {sum(mix.runs.values())} workers,"
          f" {len(mix.failures)} rounds failed, in {result.seconds / 60:.1f} minutes")
    for failure in mix.failures:
        print(failure)
    if mix.hung:
        print("it hung")
    elif result.status != 0 or BUG in result.log:
        print(f"the machine ended with status {result.status}:\n{result.log[-6000:]}")
    else:
        print("no panic, no hang")
        return FAILED if mix.failures else 0
    return FAILED


def main(words: list[str]) -> int:
    """Runs the mix; 0 when every round did what it should and the kernel is sound."""
    parser = argparse.ArgumentParser(prog="kaa bench stress", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="what gives the rounds")
    parser.add_argument("--cpus", type=int, default=4, help="processors of the machine")
    parser.add_argument("--mem", default="1G", help="its memory")
    parser.add_argument("--seconds", type=int, default=3, help="how long a round takes")
    parser.add_argument("--only", default="", help="stressors, with commas between (all that are known to run)")
    parser.add_argument("--kernel", type=pathlib.Path, help="boot this image and build nothing")
    options = parser.parse_args(words)
    installing.ensure_qemu()
    installing.ensure("stress-ng", "stress-ng")
    installing.ensure("gdb", "gdb")
    names = options.only.split(",") if options.only else [*ISSUE, *BEYOND]
    print(f"seed {options.seed}, {options.minutes:g} minutes, {options.cpus} processors", flush=True)
    mix = Mix(Plan(options.seed, names, options.seconds), options.minutes * 60)
    result = stress(mix, options.kernel or build.ensure(), run.Options(memory=options.mem, cpus=options.cpus))
    return verdict(mix, result)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
