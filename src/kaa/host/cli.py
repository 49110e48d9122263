# SPDX-License-Identifier: Apache-2.0
"""The command line: `./kaa run|build|test|bench|compile|gdb|check|docs`. Bad input is told in one sentence; a traceback
here is a bug."""

from __future__ import annotations

import pathlib
import sys
from typing import Annotated

import typer

from kaa.host import run as running
from kaa.host.accelerator import CHOICES
from kaa.host.errors import INTERRUPTED, USAGE, Refusal
from kaa.host.qemu import MACHINES, MOST_CPUS

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True,
                  help="Kaa: a Linux-compatible kernel in Python, compiled ahead of time.")
REST = {"allow_interspersed_args": False}
"""What follows the first word that is no option belongs to the command."""
PASS = {"allow_interspersed_args": False, "ignore_unknown_options": True}
"""All words belong to the tool that is called."""

Root = Annotated[
    pathlib.Path | None, typer.Option("--root", metavar="DIR|CPIO", help="another root: a folder or a cpio archive")]
Writable = Annotated[bool, typer.Option("--rw", help="the current directory is shared for writing")]
Memory = Annotated[str, typer.Option("--mem", help="the machine's memory", metavar="SIZE")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", metavar="S", help="end the command after that many seconds (status 124)")]
Kind = Annotated[str, typer.Option("--machine", help="QEMU's machine", metavar="|".join(MACHINES))]
Append = Annotated[str, typer.Option("--append", help="more words for the kernel's command line")]
Accelerator = Annotated[str, typer.Option("--accel", help="QEMU's accelerator", metavar="|".join(CHOICES))]
Kernel = Annotated[pathlib.Path | None, typer.Option("--kernel", help="boot this image and build nothing")]
Cpus = Annotated[int, typer.Option("--cpus", help="how many processors the machine has", metavar="N")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="show the kernel's log and what was chosen")]
Command = Annotated[list[str], typer.Argument(metavar="CMD", help="the command and its arguments")]
Words = Annotated[list[str] | None, typer.Argument(metavar="ARGS", help="passed on")]


def options(root: pathlib.Path | None, writable: bool, memory: str, timeout: float | None, machine: str, append: str,
            accelerator: str, verbose: bool, cpus: int = 1) -> running.Options:
    if machine not in MACHINES:
        raise Refusal(f"--machine {machine}: choose one of {', '.join(MACHINES)}", USAGE)
    if accelerator not in CHOICES:
        raise Refusal(f"--accel {accelerator}: choose one of {', '.join(CHOICES)}", USAGE)
    if timeout is not None and timeout <= 0:
        raise Refusal(f"--timeout {timeout:g}: a time above zero is needed", USAGE)
    if not 1 <= cpus <= MOST_CPUS:
        raise Refusal(f"--cpus {cpus}: a number from 1 to {MOST_CPUS} is needed", USAGE)
    return running.Options(root, writable, memory, timeout, machine, append, accelerator, verbose, cpus)


@app.command(context_settings=REST)
def run(command: Command, root: Root = None, rw: Writable = False, mem: Memory = "512M", timeout: Timeout = None,
        machine: Kind = "microvm", append: Append = "", accel: Accelerator = "auto", kernel: Kernel = None,
        cpus: Cpus = 1, verbose: Verbose = False) -> int:
    """Run a command of this machine on the kernel."""
    from kaa.host import build
    chosen = options(root, rw, mem, timeout, machine, append, accel, verbose, cpus)
    running.refuse_early(command, chosen)
    return running.run(command, chosen, kernel or build.ensure())


@app.command()
def build(cc: Annotated[str, typer.Option("--cc", help="C compiler: zig, gcc, clang")] = "zig",
          clean: Annotated[bool, typer.Option("--clean", help="forget what was built before")] = False) -> int:
    """Build the kernel image build/kaa.elf."""
    from kaa.host import build as building
    building.build(cc=cc, clean=clean).show()
    return 0


@app.command(context_settings=PASS)
def test(words: Words = None) -> int:
    """Run the tests; arguments go to pytest."""
    from kaa.host import testing
    return testing.test(words or [])


@app.command(context_settings=PASS)
def bench(which: Annotated[str, typer.Argument(metavar="language|linux|scaling|stress")], words: Words = None) -> int:
    """Measure: the price of Python, this kernel beside Linux; or keep it busy with a random mix of stressors."""
    from kaa.host import bench as benching
    if which == "language":
        return benching.language(words or [])
    if which == "linux":
        return benching.linux(words or [])
    if which == "scaling":
        from kaa.host import scaling
        return scaling.main(words or [])
    if which == "stress":
        from kaa.host import stress
        return stress.main(words or [])
    raise Refusal(f"bench {which}: choose language, linux, scaling or stress", USAGE)


@app.command("compile", context_settings=PASS)
def compile_(words: Words = None) -> int:
    """Call the compiler: --dump ast|types|ir|c FILE:FUNCTION, and more."""
    from kaa.host import build
    return build.compiler(words or [])


@app.command(context_settings=REST)
def gdb(command: Command, ex: Annotated[list[str] | None, typer.Option("-ex", "--ex", help="a gdb command")] = None,
        breakpoint_at: Annotated[list[str] | None, typer.Option("-b", "--break", metavar="FILE:LINE")] = None,
        batch: Annotated[bool, typer.Option("--batch", help="leave gdb after the commands")] = False,
        root: Root = None, rw: Writable = False, mem: Memory = "512M", timeout: Timeout = None,
        machine: Kind = "microvm", append: Append = "", verbose: Verbose = False) -> int:
    """Debug the kernel by Python file and line while it runs a command."""
    from kaa.host import build
    from kaa.host import gdb as debugging
    chosen = options(root, rw, mem, timeout, machine, append, "tcg", verbose)
    running.refuse_early(command, chosen)
    return debugging.debug(command, chosen, build.ensure(), breakpoint_at or [], ex or [], batch)


@app.command(context_settings=REST)
def trace(command: Command, locks: Annotated[bool, typer.Option("--locks", help="how locks were waited for")] = False,
          sched: Annotated[bool, typer.Option("--sched", help="who ran where when")] = False,
          sharing: Annotated[bool, typer.Option("--sharing", help="which source lines move cache lines")] = False,
          output: Annotated[str, typer.Option("-o", "--output", metavar="PATH",
                                              help="the pictures' path without .html and .json")] = "",
          root: Root = None, rw: Writable = False, mem: Memory = "512M", timeout: Timeout = None,
          machine: Kind = "microvm", append: Append = "", kernel: Kernel = None, cpus: Cpus = 1,
          verbose: Verbose = False) -> int:
    """Run a command and show what the kernel did: --locks, --sched or --sharing, as tables and pictures
    (docs/tracing.md)."""
    from kaa.host import trace as tracing
    if [locks, sched, sharing].count(True) != 1:
        raise Refusal("trace: choose --locks, --sched or --sharing", USAGE)
    what = tracing.LOCKS if locks else tracing.SCHED if sched else tracing.SHARING
    chosen = options(root, rw, mem, timeout, machine, append, "tcg", verbose, cpus)
    return tracing.trace(command, chosen, what, output or f"kaa-{what}", kernel)


@app.command()
def check(everything: Annotated[bool, typer.Option("--all", help="also pyright and the house rules")] = False) -> int:
    """ruff and the proofs about the kernel, without building it."""
    from kaa.host import check as checking
    return checking.check(everything)


@app.command()
def docs() -> int:
    """Write docs/syscalls.md anew from the kernel's table, docs/locks.md and locks.svg from the proofs."""
    from kaa.host import build, paths, syscalls_doc
    return syscalls_doc.write() or build.compiler(["prove", "-q", "--documents", str(paths.HOME / "docs")])


def main(words: list[str] | None = None) -> int:
    """The exit status."""
    try:
        result = app(args=words, prog_name="kaa", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except Refusal as refusal:
        print(f"kaa: {refusal}", file=sys.stderr)
        return refusal.status
    except typer.TyperException as error:
        print(f"kaa: {_sentence(error)}", file=sys.stderr)
        return USAGE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return 141


def _sentence(error: typer.TyperException) -> str:
    message = error.format_message()
    return message[:1].lower() + message[1:].rstrip(".")
