# SPDX-License-Identifier: Apache-2.0
"""`./kaa gdb`: the kernel under gdb, through QEMU's stub, with breakpoints by Python file and line.

The image carries DWARF line tables that name the Python files (the compiler writes `#line`), so gdb's own commands do:
`break kaa/kernel/fs/pipe.py:42`, `next`, `print count`, `backtrace`. The machine waits in reset until gdb continues it.
"""

from __future__ import annotations

import pathlib
import subprocess
import tempfile
import time
from collections.abc import Sequence

from kaa.host import installing, paths, run
from kaa.host.errors import Refusal
from kaa.host.machine import Machine
from kaa.host.streams import FdSink


def gdb_words(symbols: pathlib.Path, stub: pathlib.Path, breakpoints: Sequence[str], commands: Sequence[str],
              batch: bool) -> list[str]:
    """gdb's command line: symbols, sources, the stub, then the person's breakpoints and commands in order."""
    words = ["gdb", "--quiet", "--nx"] + (["--batch"] if batch else [])
    setup = ["set confirm off", "set pagination off", "set breakpoint pending on", "set architecture i386:x86-64",
             f"directory {paths.HOME}:{paths.SOURCES}", f"source {paths.PACKAGE / 'host/gdb_commands.py'}",
             f"target remote {stub}"]
    for command in [*setup, *(f"break {place}" for place in breakpoints), *commands]:
        words += ["-ex", command]
    return [*words, str(symbols)]


def check_place(place: str) -> str:
    """A breakpoint FILE:LINE with the file as the symbols name it. Raises Refusal when there is no such file or
    line."""
    name, colon, line = place.rpartition(":")
    if not colon or not line.isdigit():
        return place  # a function's name: gdb's own affair
    for candidate in (pathlib.Path(name), paths.HOME / name, paths.SOURCES / name, paths.PACKAGE / "kernel" / name):
        if candidate.is_file():
            if int(line) > len(candidate.read_bytes().splitlines()):
                raise Refusal(f"{name} has no line {line}")
            return f"{candidate.resolve().relative_to(paths.SOURCES)}:{line}"
    raise Refusal(f"{place}: no such file of the kernel")


def debug(words: list[str], options: run.Options, kernel: pathlib.Path, breakpoints: Sequence[str],
          commands: Sequence[str], batch: bool) -> int:
    """Runs a command on the kernel with gdb attached; gdb's exit status. The guest's output goes to ours, its input is
    empty."""
    installing.ensure_qemu()
    installing.ensure("gdb", "gdb")
    root = run.open_root(options.root)
    request, shares = run.request_for(words, options, root)
    request.terminal = None
    append = " ".join(filter(None, (run.COMMAND_LINE, root.words(), options.append)))
    with tempfile.TemporaryDirectory(prefix="kaa-gdb-") as folder:
        stub = pathlib.Path(folder) / "stub"
        extra = ["-chardev", f"socket,id=gdb,path={stub},server=on,wait=off", "-gdb", "chardev:gdb", "-S"]
        with Machine(kernel, initrd=root.archive + request.archive(), append=append, machine=options.machine,
                     memory=run.check_memory(options.memory, root.archive), shares=shares, timeout=options.timeout,
                     extra=extra) as machine:
            machine.start()
            _await(stub, machine)
            places = [check_place(place) for place in breakpoints]
            debugger = subprocess.Popen(gdb_words(paths.SYMBOLS, stub, places, commands, batch))
            try:
                machine.run(b"", FdSink(1), FdSink(2), FdSink(2) if options.verbose else None,
                            until=lambda: debugger.poll() is not None)
            finally:
                machine.kill()
                status = debugger.wait()
            return status


def _await(stub: pathlib.Path, machine: Machine) -> None:
    """Until QEMU has made its socket, which it does before anything else runs."""
    for _ in range(200):
        if stub.exists():
            return
        if machine.process is not None and machine.process.poll() is not None:
            break
        time.sleep(0.05)
    raise Refusal("QEMU did not start its debugger stub")
