# SPDX-License-Identifier: Apache-2.0
"""`./kaa bench scaling`: what two processors get done over one, beside Linux in the same machine on the same host.

bench/scaling/scaling.c is the init of a machine with N processors (multi-threaded TCG, host time); it runs each row in
many short rounds, by turns with 1, 2, … N workers pinned to processors of their own. The figure of a row is its
speed-up: operations a second of N workers over those of one in the round just before, the median of all such pairs,
with its standard error. Whatever else the host does only takes away, and from N workers more often than from one; so
each worker times some arithmetic right before and right after its part, and pairs are left out in which that took any
of them longer than it can. The kernels take turns, too. Linux is Debian's cloud kernel, fetched by apt-get, or the one
that --linux names.

A last run, of a Kaa that counts its locks, tells how often N workers found a lock taken, per 1000 operations, and which
class of locks the most.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import pathlib
import random
import re
import statistics
import subprocess
import sys

from rich.table import Table

from kaa.host import build, c_programs, cpio, flavour, paths, qemu, terminal
from kaa.host.errors import FAILED, Refusal

SOURCE = paths.HOME / "bench" / "scaling" / "scaling.c"
FOLDER = paths.BUILD / "scaling"
META_PACKAGE = "linux-image-cloud-amd64"
LINE = re.compile(r"^(\w+) (\d+) (\d+) (\d+)\r?$", re.MULTILINE)
WAITS = re.compile(r"^waits (\w+) (\d+) (\d+) (\d+) ([^\r\n]+?)\r?$", re.MULTILINE)
SECONDS = 240
FASTEST = 0.02
"""The share of all rounds that may have been faster than what the arithmetic takes undisturbed: by luck."""
DISTURBED = 1.05
"""The arithmetic took so many times as long as it does undisturbed: something else had a part of the processor."""
FEWEST = 4
"""Pairs that a figure rests upon, at least."""
RESAMPLES = 200


@dataclasses.dataclass(frozen=True)
class Round:
    """Operations a second of all workers together, and the longest that one of them needed for the arithmetic."""

    rate: float
    arithmetic_ns: int


Rounds = dict[tuple[str, int], list[Round]]
"""(row, workers) → its rounds, in order: those at the same place of one row are a pair."""
Pairs = dict[str, list[tuple[float, float]]]
"""row → operations a second of one worker, and of N right after it."""
Waits = dict[str, tuple[float, str]]
"""row → locks found taken per 1000 operations of all workers, and the class of which most were."""


def debian_kernel() -> pathlib.Path:
    """Debian's cloud kernel, unpacked under build/. Raises Refusal."""
    def found() -> pathlib.Path | None:
        return max(FOLDER.glob("boot/vmlinuz-*"), default=None)
    if (kernel := found()) is not None:
        return kernel
    try:
        asked = subprocess.run(["apt-cache", "depends", META_PACKAGE], capture_output=True, text=True, check=True)
        package = re.search(r"Depends: (linux-image-\S+)", asked.stdout)
        print("kaa: fetching Debian's Linux to compare with (apt-get download)", file=sys.stderr, flush=True)
        name = package[1] if package else META_PACKAGE
        subprocess.run(["apt-get", "download", name], cwd=FOLDER, check=True, stdout=sys.stderr)
        deb = max(FOLDER.glob(f"{name}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(deb), str(FOLDER)], check=True)
    except (OSError, subprocess.CalledProcessError, ValueError):
        raise Refusal("Debian's Linux kernel could not be fetched; name one with --linux FILE", FAILED) from None
    if (kernel := found()) is None:
        raise Refusal("Debian's package has no kernel in it; name one with --linux FILE", FAILED)
    return kernel


def archive() -> pathlib.Path:
    """The machine's root: the benchmark as init."""
    flags = ["-target", "x86_64-linux-musl", "-O1", "-static", "-s"]
    binary = c_programs.built(SOURCE, FOLDER / "scaling", flags)
    entries = [cpio.directory("dev"), cpio.directory("tmp", 0o1777), cpio.character_device("dev/console", 5, 1, 0o600),
               cpio.program("init", binary.read_bytes())]
    out = FOLDER / "root.cpio"
    out.write_bytes(cpio.write(entries))
    return out


def run(kernel: pathlib.Path, root: pathlib.Path, cpus: int, rows: list[str]) -> str:
    """What one machine prints. Raises Refusal when it does not reach its end."""
    command = [qemu.find(), "-m", "512", "-nographic", "-no-reboot", "-net", "none", "-accel", "tcg,thread=multi",
               "-smp", str(cpus), "-kernel", str(kernel), "-initrd", str(root),
               "-append", " ".join(["console=ttyS0 panic=-1 rdinit=/init quiet --", str(cpus), *rows])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
                              timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise Refusal(f"{kernel.name} did not end within {SECONDS} s", FAILED) from None
    if "SCALING-DONE" not in done.stdout:
        raise Refusal(f"{kernel.name} did not reach its end:\n{done.stdout[-2000:]}", FAILED)
    return done.stdout


def rounds_in(text: str) -> Rounds:
    """The rounds that a machine printed."""
    rounds: Rounds = {}
    for row, workers, rate, arithmetic_ns in LINE.findall(text):
        rounds.setdefault((row, int(workers)), []).append(Round(float(rate), int(arithmetic_ns)))
    return rounds


def waits_in(text: str, cpus: int) -> Waits:
    """How often `cpus` workers waited for locks."""
    return {row: (1000 * int(contended) / max(int(operations), 1), name if int(contended) else "-")
            for row, workers, contended, operations, name in WAITS.findall(text) if int(workers) == cpus}


def together(a: Rounds, b: Rounds) -> Rounds:
    """The rounds of both."""
    return {key: a.get(key, []) + b.get(key, []) for key in {**a, **b}}


def undisturbed_ns(*machines: Rounds) -> float:
    """What the arithmetic takes on this host when nothing disturbs it; no kernel has a part in that."""
    taken = sorted(each.arithmetic_ns for machine in machines for rounds in machine.values() for each in rounds)
    return float(taken[int(FASTEST * len(taken))]) if taken else 0.0


def undisturbed(rounds: Rounds, cpus: int, arithmetic_ns: float) -> Pairs:
    """The pairs in which no worker's arithmetic took much longer than that."""
    return {row: [(one.rate, many.rate) for one, many in zip(rounds[row, 1], all_rounds, strict=True)
                  if max(one.arithmetic_ns, many.arithmetic_ns) <= DISTURBED * arithmetic_ns]
            for (row, workers), all_rounds in rounds.items() if workers == cpus}


@dataclasses.dataclass(frozen=True)
class SpeedUp:
    """What N workers get done over one: the median of the pairs, its standard error by resampling them, and how many
    there are."""

    median: float
    error: float
    pairs: int

    @classmethod
    def of(cls, pairs: list[tuple[float, float]]) -> SpeedUp | None:
        """From the rates of one worker and of N; None when the host disturbed all but a few."""
        ratios = [many / one for one, many in pairs if one]
        if len(ratios) < FEWEST:
            return None
        chance = random.Random(0)
        error = statistics.stdev(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
        return cls(statistics.median(ratios), error, len(ratios))

    def behind(self, other: SpeedUp) -> bool:
        """Whether it is less than the other by more than chance explains: twice the standard error."""
        return other.median - self.median > 2 * math.hypot(self.error, other.error)

    def __str__(self) -> str:
        return f"{self.median:.2f} ± {self.error:.2f}"


def colour(ours: SpeedUp | None, theirs: SpeedUp | None) -> str:
    """Green for at least Linux's, red for behind it, neither if the rounds cannot tell."""
    if ours is None or theirs is None:
        return "default"
    return "green" if ours.median >= theirs.median else "red" if ours.behind(theirs) else "default"


def table(kaa: Rounds, linux: Rounds, waits: Waits, cpus: int) -> Table:
    """The figures side by side; green where Kaa's speed-up is at least Linux's, red where it is behind."""
    made = Table(title=f"{cpus} processors over one: speed-up, and operations a second of one (multi-threaded TCG)")
    for heading in ("", "Kaa", "Linux", "pairs", "Kaa, one", "Linux, one", "Kaa / Linux, one", "waits / 1000"):
        made.add_column(heading, justify="right" if heading else "left")
    most = max((len(rounds) for rounds in (*kaa.values(), *linux.values())), default=0)
    made.caption = f"± standard error; pairs of rounds: of {most} each, those that the host left alone"
    reference = undisturbed_ns(kaa, linux)
    pairs, other_pairs = undisturbed(kaa, cpus, reference), undisturbed(linux, cpus, reference)
    for row, ours in pairs.items():
        theirs = other_pairs.get(row, [])
        up, there = SpeedUp.of(ours), SpeedUp.of(theirs)
        one, other = (statistics.median(pair[0] for pair in of) if of else 0.0 for of in (ours, theirs))
        per_thousand, name = waits.get(row, (0.0, ""))
        made.add_row(row, f"[{colour(up, there)}]{up or '?'}[/]", f"{there or '?'}",
                     f"{len(ours)}, {len(theirs)}", f"{one:,.0f}" if one else "-",
                     f"{other:,.0f}" if other else "-", f"{one / other:.2f}" if one and other else "-",
                     f"{per_thousand:.2f} {name}" if name else "")
    return made


def main(words: list[str]) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="kaa bench scaling", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--cpus", type=int, default=2, choices=(2, 4, 8), help="processors of the machine")
    parser.add_argument("--turns", type=int, default=3, help="how often each kernel is booted")
    parser.add_argument("--rows", nargs="+", default=[], metavar="ROW", help="only these")
    parser.add_argument("--no-waits", action="store_true", help="without the run that counts locks")
    parser.add_argument("--linux", type=pathlib.Path, help="another Linux kernel")
    options = parser.parse_args(words)
    FOLDER.mkdir(parents=True, exist_ok=True)
    kernel, other = build.ensure(), options.linux or debian_kernel()
    root = archive()
    kaa: Rounds = {}
    linux: Rounds = {}
    for turn in range(options.turns):
        print(f"kaa: turn {turn + 1} of {options.turns}", file=sys.stderr, flush=True)
        kaa = together(kaa, rounds_in(run(kernel, root, options.cpus, options.rows)))
        linux = together(linux, rounds_in(run(other, root, options.cpus, options.rows)))
    waits: Waits = {}
    if not options.no_waits:
        counting = flavour.ensure(flavour.LOCK_STATS)
        waits = waits_in(run(counting, root, options.cpus, options.rows), options.cpus)
    terminal.console(120).print(table(kaa, linux, waits, options.cpus))
    return 0
