# SPDX-License-Identifier: Apache-2.0
"""The context proof: who may sleep where, and which locks interrupts may take."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.proofs_machine import MAIN, findings, told

ACCEPTED = {
    "a copy before the lock": """
        copy_user(u64(1), u64(8))
        with inode.guard:
            inode.size = u64(1)
        """,
    "a sleep under a mutex": """
        with inode.lock:
            schedule()
        """,
    "a lock that is given back on every way": """
        inode.guard.acquire()
        if inode.size == 0:
            inode.guard.release()
            schedule()
            return
        inode.guard.release()
        schedule()
        """,
    "a try that failed": """
        if inode.guard.try_acquire():
            inode.size = u64(2)
            inode.guard.release()
        else:
            schedule()
        """,
    "a sleep where it was asked whether one may": """
        with inode.guard:
            if may_wait():
                schedule()
        """,
    "interrupts as they were": """
        flags = irq_save()
        inode.size = u64(3)
        irq_restore(flags)
        schedule()
        """,
}

REFUSED = {
    # The oldest of them all: a page fault that cannot be served, for nobody may sleep for the page.
    "a user copy under a spinlock": (
        """
        with inode.guard:
            copy_user(u64(1), u64(8))
        """,
        """7: main may sleep here while it holds Inode.guard
machine (for 6): main takes Inode.guard
7: touches user memory, which may have to be brought in""",
    ),
    "a mutex under a spinlock": (
        """
        with inode.guard:
            with inode.lock:
                inode.size = u64(1)
        """,
        """7: main may sleep here while it holds Inode.guard
machine (for 6): main takes Inode.guard
machine (for 7): takes Inode.lock""",
    ),
    "a sleep with interrupts off": (
        """
        flags = irq_save()
        schedule()
        irq_restore(flags)
        """,
        """7: main may sleep here while interrupts are off
7: sleeps""",
    ),
    "a lock kept on one way": (
        """
        inode.guard.acquire()
        if inode.size != 0:
            inode.guard.release()
        schedule()
        """,
        """9: main may sleep here while it holds Inode.guard
6: main takes Inode.guard
9: sleeps""",
    ),
    "interrupts turned on under a lock that keeps them off": (
        """
        inode.irq.acquire()
        irq_on()
        inode.irq.release()
        """,
        """7: main turns interrupts on while it holds Inode.irq
6: main takes Inode.irq""",
    ),
}


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(tmp_path: Path, body: str) -> None:
    assert told(tmp_path, MAIN + indented(body), "context") == []


@pytest.mark.parametrize(("body", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(tmp_path: Path, body: str, message: str) -> None:
    found = told(tmp_path, MAIN + indented(body), "context")
    assert found == [message]


def indented(body: str) -> str:
    return "\n".join(line[4:] for line in body.split("\n")) + "\n"


def flat(message: str) -> list[str]:
    """A message's lines without places in the machine."""
    lines = [line.partition(": ")[2] if ": " in line else line for line in message.split("\n")]
    return [line.strip() for line in lines]


HELPERS = '''
@noinline
def allocate(wanted: u64) -> u64:
    """As an allocator does that was told nothing about its caller."""
    if cpu.work == 0:
        schedule()
    return wanted


@noinline
def grow() -> None:
    inode.size = allocate(inode.size)

'''


def test_the_path_from_the_lock_to_the_sleep_is_told_call_by_call(tmp_path: Path) -> None:
    """A sleeping allocation under a spinlock, two calls away: the kind of bug that might_sleep() was made for."""
    found = told(tmp_path, HELPERS + MAIN + "    with inode.guard:\n        grow()\n", "context")
    assert len(found) == 1
    assert flat(found[0]) == [
        "main may sleep here while it holds Inode.guard", "main takes Inode.guard", "main calls grow",
        "grow calls allocate", "allocate sleeps",
    ]  # fmt: skip


def test_a_helper_that_gives_the_callers_lock_back_may_sleep(tmp_path: Path) -> None:
    program = (
        """
@noinline
def wait_unlocked() -> None:
    inode.guard.release()
    schedule()
    inode.guard.acquire()


"""
        + MAIN
        + "    with inode.guard:\n        wait_unlocked()\n"
    )
    assert told(tmp_path, program, "context") == []


VIRTUAL = """
class File:
    def read(self) -> u64:
        return u64(0)


class Pipe(File):
    def read(self) -> u64:
        schedule()
        return u64(1)


class Holder:
    file: Final[File]

    def __init__(self, file: File) -> None:
        self.file = file


holder = Holder(Pipe())
plain = Holder(File())
"""


def test_every_override_counts(tmp_path: Path) -> None:
    body = "    inode.size = plain.file.read()\n    with inode.guard:\n        inode.size = holder.file.read()\n"
    found = told(tmp_path, VIRTUAL + MAIN + body, "context")
    assert [line for line in flat(found[0]) if "calls" in line] == ["main calls Pipe.read (one of several)"]


def test_a_callable_is_what_was_stored_in_its_field(tmp_path: Path) -> None:
    program = (
        """
@noinline
def quiet(n: u64) -> None:
    cpu.work = n


@noinline
def noisy(n: u64) -> None:
    schedule()


class Timer:
    callback: Callable[[u64], None]

    def __init__(self, callback: Callable[[u64], None]) -> None:
        self.callback = callback


class Task:
    entry: Callable[[u64], None]

    def __init__(self, entry: Callable[[u64], None]) -> None:
        self.entry = entry


timer = Timer(quiet)
task = Task(noisy)

"""
        + MAIN
    )
    assert told(tmp_path, program + "    with inode.guard:\n        timer.callback(u64(1))\n    task.entry(u64(0))\n",
                "context") == []  # fmt: skip
    (tmp_path / "again").mkdir()
    assert (
        len(told(tmp_path / "again", program + "    with inode.guard:\n        task.entry(u64(1))\n", "context")) == 1
    )


HANDLER = """
@entry_point("interrupt", interrupts=False)
@export("interrupt")
def interrupt() -> None:
    enter_interrupt()
    handle()
    leave_interrupt()

"""


def test_a_lock_of_handlers_is_taken_with_interrupts_off(tmp_path: Path) -> None:
    """The bug that lockdep calls inconsistent lock state: the handler spins on what it interrupted."""
    program = (
        """
@noinline
def handle() -> None:
    with inode.guard:
        inode.size = u64(1)

"""
        + HANDLER
        + MAIN
        + "    with inode.guard:\n        inode.size = u64(2)\n"
    )
    found = told(tmp_path, program, "context")
    assert len(found) == 1
    assert flat(found[0])[0] == "Inode.guard is taken by an interrupt's handler, and elsewhere with interrupts on"
    assert "interrupt calls handle" in flat(found[0])
    (tmp_path / "off").mkdir()
    better = program.replace("    with inode.guard:\n        inode.size = u64(2)\n",
                             "    flags = irq_save()\n    with inode.guard:\n        inode.size = u64(2)\n"
                             "    irq_restore(flags)\n")  # fmt: skip
    assert told(tmp_path / "off", better, "context") == []


def test_what_is_taken_inside_a_lock_of_handlers_is_taken_with_interrupts_off(tmp_path: Path) -> None:
    program = (
        """
@noinline
def handle() -> None:
    with inode.irq:
        inode.size = u64(1)

"""
        + HANDLER
        + MAIN
        + """    with other.guard:
        other.size = u64(2)
    with inode.irq:
        with other.guard:
            other.size = u64(3)
"""
    )
    found = told(tmp_path, program, "context")
    assert [flat(f)[0] for f in found] == [
        "Inode.guard is taken inside Inode.irq, which an interrupt's handler takes, and elsewhere with interrupts on"
    ]


def test_nobody_sleeps_in_a_handler(tmp_path: Path) -> None:
    program = "\n@noinline\ndef handle() -> None:\n    schedule()\n\n" + HANDLER + MAIN + "    cpu.work = u64(0)\n"
    found = told(tmp_path, program, "context")
    assert [flat(f)[0] for f in found] == ["interrupt may sleep here while an interrupt is handled"]


def test_the_last_reference_is_a_matter_of_its_own(tmp_path: Path) -> None:
    program = (
        """
class Resource:
    size: u64 = 0

    def __del__(self) -> None:
        schedule()


class Place:
    held: Resource | None = None


place = Place()

"""
        + MAIN
        + """    place.held = Resource()
    with inode.guard:
        place.held = None
"""
    )
    found = findings(tmp_path, program)
    assert list(found.errors) == ["ends"]
    assert "the end of a Resource" in "\n".join(found.errors["ends"][0].notes)


SPACES = """
@export("kaa_end_later")
def end_later(address: u64) -> bool:
    with waiting.{lock}:
        cpu.work = address
    return True


class Memory({base}):
    \"\"\"An address space: its end takes a mutex.\"\"\"

    def __del__(self) -> None:
        with inode.lock:
            inode.size = u64(0)


class Owner:
    space: Memory | None = None


owner = Owner()
waiting = Inode()

""" + MAIN + """    owner.space = Memory()
    with inode.guard:
        owner.space = None
"""


def test_an_end_that_is_put_off_does_not_sleep(tmp_path: Path) -> None:
    """What Linux has mmput_async() for: a walk that holds a spinlock drops the last reference of an address space whose
    owner has just ended."""
    refused = findings(tmp_path, SPACES.format(base="object", lock="irq"))
    assert list(refused.errors) == ["ends"]
    assert "the end of a Memory" in "\n".join(refused.errors["ends"][0].notes)
    assert findings(tmp_path, SPACES.format(base="LateEnd", lock="irq")).errors == {}


def test_an_end_is_not_put_off_where_that_would_wait_for_itself(tmp_path: Path) -> None:
    found = findings(tmp_path, SPACES.format(base="LateEnd", lock="guard"))
    assert list(found.errors) == ["ends"]
    assert found.errors["ends"][0].message == (
        "main may let an object end here, which would take Inode.guard, while it holds that"
    )


def test_who_opts_out_is_listed_with_the_reason(tmp_path: Path) -> None:
    program = MAIN.replace("\n@entry", '\n@trusted("context", "only while the machine starts")\n@entry')
    found = findings(tmp_path, program + "    with inode.guard:\n        schedule()\n")
    assert found.errors == {}
    assert [(o.proof, o.reason) for o in found.opted_out] == [("context", "only while the machine starts")]
