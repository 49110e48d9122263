# SPDX-License-Identifier: Apache-2.0
"""`./kaa bench scaling`: what two processors get done over one, beside Linux in the same machine on the same host.

bench/scaling/scaling.c is the init of a machine with N processors (multi-threaded TCG, host time); it runs each row in
many short rounds, by turns with 1, 2, … N workers pinned to processors of their own. The figure of a row is its
speed-up: operations a second of N workers over those of one in the round just before. What the host does beside it
moves single rounds a lot, so the median of all rounds counts, and half the range of their middle half stands beside it.
The kernels take turns, too. Linux is Debian's cloud kernel, fetched by apt-get, or the one that --linux names.

A last run, of a Kaa that counts its locks, tells how often N workers found a lock taken, per 1000 operations, and which
class of locks the most.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
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
LINE = re.compile(r"^(\w+) (\d+) (\d+)\r?$", re.MULTILINE)
WAITS = re.compile(r"^waits (\w+) (\d+) (\d+) (\d+) ([^\r\n]+?)\r?$", re.MULTILINE)
SECONDS = 240
Rates = dict[tuple[str, int], list[float]]
"""(row, workers) → operations a second, round by round."""
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


def rates_in(text: str) -> Rates:
    """The rates that a machine printed."""
    rates: Rates = {}
    for row, workers, rate in LINE.findall(text):
        rates.setdefault((row, int(workers)), []).append(float(rate))
    return rates


def waits_in(text: str, cpus: int) -> Waits:
    """How often `cpus` workers waited for locks."""
    return {row: (1000 * int(contended) / max(int(operations), 1), name if int(contended) else "-")
            for row, workers, contended, operations, name in WAITS.findall(text) if int(workers) == cpus}


def together(a: Rates, b: Rates) -> Rates:
    """The rounds of both."""
    return {key: a.get(key, []) + b.get(key, []) for key in {**a, **b}}


@dataclasses.dataclass(frozen=True)
class SpeedUp:
    """What N workers get done over one: the median of all rounds, and half the range of their middle half."""

    median: float
    spread: float

    @classmethod
    def of(cls, one: list[float], many: list[float]) -> SpeedUp:
        """From the rates of one worker and of N, round by round."""
        ratios = [b / a for a, b in zip(one, many, strict=True) if a]
        if len(ratios) < 2:
            return cls(ratios[0] if ratios else 0.0, 0.0)
        low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
        return cls(median, (high - low) / 2)

    def __str__(self) -> str:
        return f"{self.median:.2f} ± {self.spread:.2f}"


def speed_ups(rates: Rates, cpus: int) -> dict[str, SpeedUp]:
    """{row: what `cpus` workers get done over one}."""
    return {row: SpeedUp.of(rates[row, 1], many) for (row, workers), many in rates.items() if workers == cpus}


def table(kaa: Rates, linux: Rates, waits: Waits, cpus: int) -> Table:
    """The figures side by side; green where Kaa's speed-up is at least Linux's."""
    made = Table(title=f"{cpus} processors over one: speed-up, and operations a second of one (multi-threaded TCG)")
    for heading in ("", "Kaa", "Linux", "Kaa, one", "Linux, one", "Kaa / Linux, one", "waits / 1000"):
        made.add_column(heading, justify="right" if heading else "left")
    ours, theirs = speed_ups(kaa, cpus), speed_ups(linux, cpus)
    for row, up in ours.items():
        there = theirs.get(row)
        colour = "green" if there is None or up.median >= there.median else "red"
        one, other = (statistics.median(rates[row, 1]) if (row, 1) in rates else 0.0 for rates in (kaa, linux))
        per_thousand, name = waits.get(row, (0.0, ""))
        made.add_row(row, f"[{colour}]{up}[/]", "-" if there is None else str(there), f"{one:,.0f}",
                     f"{other:,.0f}" if other else "-", f"{one / other:.2f}" if other else "-",
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
    kaa: Rates = {}
    linux: Rates = {}
    for turn in range(options.turns):
        print(f"kaa: turn {turn + 1} of {options.turns}", file=sys.stderr, flush=True)
        kaa = together(kaa, rates_in(run(kernel, root, options.cpus, options.rows)))
        linux = together(linux, rates_in(run(other, root, options.cpus, options.rows)))
    waits: Waits = {}
    if not options.no_waits:
        counting = flavour.ensure(flavour.LOCK_STATS)
        waits = waits_in(run(counting, root, options.cpus, options.rows), options.cpus)
    terminal.console(120).print(table(kaa, linux, waits, options.cpus))
    return 0
