# SPDX-License-Identifier: Apache-2.0
"""A small machine in the language, for tests of the proofs: locks, interrupts, a scheduler, user memory; and what the
proofs say of a program written for it."""

from __future__ import annotations

import importlib.util
import linecache
import re
import sys
import types
from pathlib import Path

from kaa.compiler.pipeline import analyse, lower
from kaa.compiler.proofs.context import ContextProof
from kaa.compiler.proofs.findings import Findings
from kaa.compiler.proofs.graph import Graph
from kaa.compiler.proofs.locks import LockTable
from kaa.compiler.proofs.order import OrderProof
from kaa.compiler.proofs.stack import StackProof
from kaa.compiler.proofs.summary import Summaries


def plain_lock(name: str, kind: str) -> str:
    """A class of locks that are only taken and given back."""
    return f"""@lock
class {name}:
    word: u32 = 0

    @acquires("{kind}")
    @inline
    def acquire(self) -> None:
        self.word = u32(1)

    @releases
    @inline
    def release(self) -> None:
        self.word = u32(0)

    @inline
    def __enter__(self) -> None:
        self.acquire()

    @inline
    def __exit__(self, *exc: object) -> None:
        self.release()


"""


MACHINE = """from __future__ import annotations
from collections.abc import Callable
from typing import Final
from kaa.lang import *


class Cpu:
    flags: u64 = 0
    work: u64 = 0


cpu = Cpu()


@interrupts("save")
@noinline
def irq_save() -> u64:
    return cpu.flags


@interrupts("restore")
@noinline
def irq_restore(flags: u64) -> None:
    cpu.flags = flags


@interrupts("on")
@noinline
def irq_on() -> None:
    cpu.flags = u64(1)


@handling("begin")
@noinline
def enter_interrupt() -> None:
    cpu.flags = u64(2)


@handling("end")
@noinline
def leave_interrupt() -> None:
    cpu.flags = u64(3)


@may_sleep
@noinline
def schedule() -> None:
    cpu.work = wrapping_add(cpu.work, u64(1))


@sleepable
@noinline
def may_wait() -> bool:
    return cpu.flags == 1


@fault_handler
@noinline
def page_fault(address: u64) -> None:
    space.lock.acquire()
    cpu.work = address
    space.lock.release()


@export("test_user_copy")
@naked("ret")
@may_fault
def copy_user(address: u64, size: u64) -> u64:
    return u64(0)


@lock
class SpinLock:
    word: u32 = 0

    @acquires("spin")
    @inline
    def acquire(self) -> None:
        self.word = u32(1)

    @acquires("spin", tried=True)
    @inline
    def try_acquire(self) -> bool:
        return self.word == 0

    @acquires("spin", nested=True)
    @inline
    def acquire_nested(self) -> None:
        self.acquire()

    @releases
    @inline
    def release(self) -> None:
        self.word = u32(0)

    @inline
    def __enter__(self) -> None:
        self.acquire()

    @inline
    def __exit__(self, *exc: object) -> None:
        self.release()


""" + plain_lock("IrqLock", "irq") + plain_lock("Mutex", "sleep") + """class Space:
    lock: Final[Mutex]

    def __init__(self) -> None:
        self.lock = Mutex()


space = Space()


class Inode:
    lock: Final[Mutex]
    guard: Final[SpinLock]
    irq: Final[IrqLock]
    size: u64 = 0

    def __init__(self) -> None:
        self.lock = Mutex()
        self.guard = SpinLock()
        self.irq = IrqLock()


inode = Inode()
other = Inode()


"""

MAIN = """
@entry_point("system call")
@export("main")
def main() -> None:
"""
"""The system call of a program, whose body follows."""


def findings(tmp_path: Path, program: str, sizes: dict[str, int] | None = None) -> Findings:
    """What the proofs refuse of a program; `main` is its system call, `interrupt` (if there) its interrupts' entry."""
    path = tmp_path / "program.py"
    path.write_text(MACHINE + program)
    module = _load(path)
    entries = [vars(module)[name] for name in ("main", "interrupt", "page_fault", "end_later") if name in vars(module)]
    made = lower(entries, (module.__name__,))
    analyse(made).finish_all()
    found = Findings()
    graph = Graph(made)
    summaries = Summaries(graph, LockTable(made))
    ContextProof(summaries, found).run()
    OrderProof(summaries, found).run()
    StackProof(graph, sizes or {}, found).run()
    found.note_opt_outs(made)
    return found


def _load(path: Path) -> types.ModuleType:
    """The program as module `program`, in place of the one before."""
    linecache.clearcache()
    spec = importlib.util.spec_from_file_location("program", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["program"] = module
    spec.loader.exec_module(module)
    return module


def told(tmp_path: Path, program: str, proof: str, sizes: dict[str, int] | None = None) -> list[str]:
    """The refusals of one proof, as messages with their paths; line numbers count from the program's first line."""
    above = MACHINE.count("\n")
    out: list[str] = []
    for error in findings(tmp_path, program, sizes).errors.get(proof, ()):
        lines = [f"{error.line - above}: {error.message}", *error.notes]
        out.append("\n".join(re.sub(r"[\w/.-]*program\.py:(\d+)", lambda m: _moved(m, above), line) for line in lines))
    return out


def _moved(found: re.Match[str], above: int) -> str:
    line = int(found[1]) - above
    return str(line) if line > 0 else "machine"
