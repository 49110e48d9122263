# SPDX-License-Identifier: Apache-2.0
"""Commands for gdb's own Python, loaded by `./kaa gdb`: `kaa-tasks` lists every task and where in the kernel it sleeps.

Runs inside gdb (whose module `gdb` exists only there), never in this package's interpreter.
"""
# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false, reportAttributeAccessIssue=false

from __future__ import annotations

import re

import gdb

TABLE = "kz_kaa_kernel_process_pid__table"
DEEPEST = 24


def words(address: int, count: int) -> list[int]:
    memory = gdb.selected_inferior().read_memory(address, 8 * count).tobytes()
    return [int.from_bytes(memory[8 * i:8 * i + 8], "little") for i in range(count)]


def place(address: int) -> str:
    """`file.py:line` of a return address."""
    found = gdb.find_pc_line(address - 1)
    block = gdb.block_for_pc(address - 1)
    while block is not None and block.function is None:
        block = block.superblock
    function = block.function if block is not None else None
    name = function.name if function is not None else hex(address)
    file = found.symtab.filename.rpartition("kaa/")[2] if found.symtab is not None else "?"
    return f"{file}:{found.line} {name}"


def sleeping_frames(stack: int) -> list[int]:
    """Return addresses of a task that is not running, innermost first: along the frame pointers from where it was
    switched."""
    out: list[int] = []
    saved = words(stack, 8)
    frame = next((word for word in saved if stack < word < stack + 0x8000 and word % 8 == 0), 0)
    while frame and len(out) < DEEPEST:
        following, address = words(frame, 2)
        if address >> 32 != 0xFFFFFFFF:
            break
        out.append(address)
        frame = following if frame < following < frame + 0x8000 else 0
    return out


class Tasks(gdb.Command):
    """kaa-tasks: every task, its state, and where it sleeps."""

    def __init__(self) -> None:
        super().__init__("kaa-tasks", gdb.COMMAND_DATA)

    def invoke(self, argument: str, from_tty: bool) -> None:
        blocks = gdb.parse_and_eval(TABLE)["f_blocks"]
        pointers = blocks[blocks.type.fields()[0]]
        for index in range(pointers.type.range()[1] + 1):
            block = pointers[index]
            if int(block):
                entries = block["f_entries"]
                self.block(entries[entries.type.fields()[0]])

    def block(self, entries: gdb.Value) -> None:
        for index in range(entries.type.range()[1] + 1):
            pid = entries[index]
            if int(pid) and int(pid["f_task"]):
                try:
                    self.task(pid["f_task"])
                except gdb.MemoryError as error:
                    print(f"  {error}")

    def task(self, task: gdb.Value) -> None:
        halves = (int(task[f"f_name_{half}"]).to_bytes(8, "little") for half in ("low", "high"))
        name = b"".join(halves).split(b"\0")[0].decode(errors="replace")
        print(f"pid {int(task['f_pid'])} {name}: state {int(task['f_state'])}, on queue {bool(task['f_on_queue'])}, "
              f"work {int(task['f_work']):#x}, flags {int(task['f_flags']):#x}")
        for address in sleeping_frames(int(task["f_context"]["f_stack"])):
            print(f"    {place(address)}")


class PythonNames:
    """Expressions in Python's names: the C has `p_x` for a parameter, `v_x` for a local, `f_x` for a field."""

    WORD = re.compile(r"(\.\s*|->\s*)?([A-Za-z_]\w*)")

    def translate(self, expression: str) -> str:
        return self.WORD.sub(self._one, expression)

    def _one(self, match: re.Match[str]) -> str:
        before, name = match[1] or "", match[2]
        if before:
            return f"{before}{name if name.startswith('f_') else 'f_' + name}"
        for prefix in ("v_", "p_"):
            found, _ = gdb.lookup_symbol(prefix + name)
            if found is not None:
                return prefix + name
        return name


class Print(gdb.Command):
    """print[/FORMAT] EXPRESSION: as gdb's own, with the names of the Python source (`print self.count`); no history."""

    def __init__(self, name: str) -> None:
        super().__init__(name, gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument: str, from_tty: bool) -> None:
        form, expression = "", argument
        if argument.startswith("/"):
            form, _, expression = argument[1:].partition(" ")
        value = gdb.parse_and_eval(PythonNames().translate(expression))
        print(f"{expression.strip()} = {value.format_string(format=form) if form else value.format_string()}")


Tasks()
Print("print")
Print("p")
