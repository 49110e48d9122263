# SPDX-License-Identifier: Apache-2.0
"""execve(2): another program in the same process.

Everything that can fail is done first: the file is found and its headers checked (through `#!` lines), the strings
are copied out of the old memory, a new address space is made, entered and filled. If any of that fails the old
address space comes back and the caller gets the error. Only then comes the part that cannot fail: other threads end,
the old memory is given up, signals, descriptors and names are what execve(2) says. (Linux has its point of no return
earlier and kills instead.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.mman import MapFlag, Prot
from kaa.kernel.arch import machine
from kaa.kernel.lib import random
from kaa.kernel.mm.address_space import AddressSpace
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process import (
    elf_loader,
    exec_credentials,
    exec_stack,
    exec_threads,
    foreign,
    fork,
    program,
    rseq,
    unsharing,
)
from kaa.kernel.process.elf_file import USER_END, ElfFile
from kaa.kernel.process.exec_arguments import Arguments
from kaa.kernel.process.exec_stack import Layout
from kaa.kernel.process.group import EXECED
from kaa.kernel.process.program import Program
from kaa.kernel.process.task import FORKED_NO_EXEC, KERNEL_THREAD, SHARES_MEMORY, Task
from kaa.kernel.sched import futex_pi, robust
from kaa.kernel.time import posix_timer
from kaa.lang import Bytes, i32, noinline, u32, u64, usize, wrapping_add

if TYPE_CHECKING:
    from kaa.kernel.fs.path import Path
    from kaa.kernel.process.credentials import Credentials

STACK_TOP: Final = USER_END
FIRST_STACK: Final = 132 * 1024
"""Bytes of stack mapped at first; it grows from there."""
MOVABLE_BASE: Final = 0x5555_5555_4000
"""Two thirds up: where position-independent programs are loaded, plus a random part."""
ADDR_NO_RANDOMIZE: Final = 0x0004_0000


def execute(start: Path, name: bytes, argv: u64, envp: u64, walk_flags: u32) -> None:
    """Become the program `name`, found from `start`, with the caller's vectors. Raises OSError, MemoryError; returns
    into the new program."""
    found = program.find(start, name, walk_flags)
    arguments = Arguments()
    _gather(arguments, found, argv, envp)
    _become(found, arguments)


def run(name: bytes, argv: list[bytes], envp: list[bytes]) -> None:
    """The same for a task that is still in the kernel (process 1, `./kaa run`'s command); the caller then leaves by
    `machine.context.enter_user`. Raises OSError, MemoryError."""
    task = machine.percpu.current()
    found = program.find(task.fs.cwd(), name, program.FOLLOW)
    arguments = Arguments()
    _add_prefix(arguments, found)
    skip: usize = 1 if found.is_script() else 0
    for index in range(skip, len(argv)):
        arguments.add(argv[index])
    arguments.argument_count = u32(len(arguments.starts))
    for text in envp:
        arguments.add(text)
    arguments.environment_count = u32(len(envp))
    arguments.add(found.file_name)
    _become(found, arguments)
    task.flags.fetch_and(~u32(KERNEL_THREAD))


def _gather(arguments: Arguments, found: Program, argv: u64, envp: u64) -> None:
    """The strings in the order in which they will lie on the stack."""
    _add_prefix(arguments, found)
    if found.is_script():
        rest = argv
        if argv != 0 and UserPtr[u64](argv).read() != 0:
            rest = UserPtr[u64](argv).offset(u64(1)).address
        else:
            rest = 0
        arguments.add_vector(rest)
    else:
        arguments.add_vector(argv)
    if len(arguments.starts) == 0:
        arguments.add(b"")
    arguments.argument_count = u32(len(arguments.starts))
    arguments.environment_count = arguments.add_vector(envp)
    arguments.add(found.file_name)


def _add_prefix(arguments: Arguments, found: Program) -> None:
    """A script's interpreter, its argument, the script."""
    for text in found.prefix:
        arguments.add(text)


@noinline
def _become(found: Program, arguments: Arguments) -> None:
    task = machine.percpu.current()
    who = exec_credentials.after_exec(task, found)
    layout = Layout()
    layout.secure = u64(1 if exec_credentials.is_secure(task.credentials, who) else 0)
    mm = AddressSpace()
    old = _enter(task, mm)
    try:
        _fill(task, mm, found, arguments, layout, who)
        if task.group.thread_count > 1:
            exec_threads.be_alone(task)
        unsharing.unshare_files(task)
        unsharing.unshare_handlers(task)
    except OSError:
        _leave(task, old)
        raise
    except MemoryError:
        _leave(task, old)
        raise
    _leave_old(task, mm, old)
    _commit(task, found, layout, who)


def _leave_old(task: Task, mm: AddressSpace, old: AddressSpace | None) -> None:
    """What the thread owes to others in the old memory, as at its end: robust futexes and the word at
    clear_child_tid."""
    shared = (task.flags.load() & SHARES_MEMORY) != 0 and task.clear_child_tid != 0
    if old is None:
        return
    if shared or task.robust_list != 0 or not futex_pi.close(task):
        _leave(task, old)
        if task.robust_list != 0:
            robust.release(task)
        futex_pi.leave(task)
        if shared:
            robust.clear_tid(task)
        _enter(task, mm)
    futex_pi.reopen(task)


def _enter(task: Task, mm: AddressSpace) -> AddressSpace | None:
    """Make `mm` the caller's; gives the one before."""
    old = foreign.replace_memory(task, mm)
    _load(mm)
    return old


def _leave(task: Task, old: AddressSpace | None) -> None:
    """Back to the old address space."""
    new = foreign.replace_memory(task, old)
    if old is not None:
        _load(old)
    forget(new)


def _load(mm: AddressSpace) -> None:
    """Let the processor use it. Interrupts are off: this is not another processor halfway."""
    saved = machine.irq.save()
    mm.page_table.activate()
    machine.irq.restore(saved)


@noinline
def forget(mm: AddressSpace | None) -> None:
    """The processor is elsewhere: the memory may go now, and not before."""


def _fill(task: Task, mm: AddressSpace, found: Program, arguments: Arguments, layout: Layout, who: Credentials) -> None:
    """Map program, interpreter, vDSO and stack, and write the stack."""
    randomize = (task.personality & ADDR_NO_RANDOMIZE) == 0
    top: u64 = STACK_TOP
    if randomize:
        top -= (random.word() & 0x3FFFF) << 12
    with mm.lock.write():
        mm.place_below_stack(top)
    _map_stack(mm, top, found.elf, arguments)
    base: u64 = MOVABLE_BASE
    if randomize:
        base += (random.word() & 0xFFF_FFFF) << 12
    layout.bias = elf_loader.load(mm, found.elf, base)
    layout.entry = wrapping_add(found.elf.header.entry, layout.bias)
    interpreter = found.interpreter
    if interpreter is not None:
        layout.interpreter_base = elf_loader.load(mm, interpreter, u64(elf_loader.ANYWHERE))
        layout.entry = wrapping_add(interpreter.header.entry, layout.interpreter_base)
    mm.set_break_start(elf_loader.break_start(found.elf, layout.bias))
    layout.vdso = mm.map_vdso()
    exec_stack.plan(layout, arguments, top - ((random.word() & 0x1FF) << 4 if randomize else u64(0)))
    exec_stack.write(layout, arguments, found.elf, who)
    environment = arguments.starts[arguments.argument_count]
    mm.note_program(found.elf.file, layout.strings, environment, u32(arguments.file_name_start()))


def _map_stack(mm: AddressSpace, top: u64, elf: ElfFile, arguments: Arguments) -> None:
    size = (FIRST_STACK + arguments.length + 0xFFF) & ~u64(0xFFF)
    prot = Prot.READ | Prot.WRITE
    if elf.executable_stack:
        prot |= Prot.EXEC
    flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED | MapFlag.GROWSDOWN | MapFlag.STACK
    mm.map(top - size, size, u64(prot), u64(flags), None, u64(0))


def _commit(task: Task, found: Program, layout: Layout, who: Credentials) -> None:
    """The process is the new program from here on; nothing here fails."""
    group = task.group
    fork.release_vfork_parent(task)
    task.flags.fetch_and(~u32(FORKED_NO_EXEC | SHARES_MEMORY))
    foreign.replace_credentials(task, who)
    rseq.forget(task)
    task.robust_list = 0
    task.clear_child_tid = 0
    task.alternate_sp = 0
    task.alternate_size = 0
    task.alternate_flags = 2
    task.parent_death_signal = task.parent_death_signal if layout.secure == 0 else i32(0)
    posix_timer.delete_all(group)
    with group.signal_lock:
        group.handlers.reset_for_exec()
    group.flags.fetch_or(EXECED)
    task.set_name(base_name(found.file_name))
    task.files.close_on_exec()
    machine.context.reset_fpu(task)
    regs = machine.context.user_registers(task)
    machine.regs.start_user(regs, layout.entry, layout.stack_pointer)


def base_name(path: Bytes) -> Bytes:
    """What follows the last slash."""
    return path[path.rfind(0x2F) + 1 :]
