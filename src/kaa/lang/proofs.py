# SPDX-License-Identifier: Apache-2.0
"""What a function does to locks, interrupts and the scheduler, said by decorators, for the compiler's proofs.

The primitives say it (SpinLock.acquire, irq.save, schedule, the user copies); all else the compiler finds out from who
calls whom. Under CPython they do nothing but leave a note. docs/language.md, section 6, is the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar, cast

from kaa.lang.markers import note

F = TypeVar("F", bound="Callable[..., object]")
C = TypeVar("C", bound=type)

EVENT = "event"
"""The note of everything that happens to a lock or to the processor's state: a tuple whose first item says what."""


PRIMITIVE = frozenset({"acquire", "release", "interrupts", "preemption", "rcu", "handler"})
"""Events that say all there is to say: what such a function does inside to locks and contexts is not looked at."""


def lock(cls: C) -> C:
    """A class of locks that are named after the place that holds them: `Inode.lock`, `Pipe.readable`. A subclass that
    does not say this itself is one class of locks, wherever its instances are: `Zone`."""
    cls.__kaa_lock__ = cls.__qualname__  # type: ignore[attr-defined]
    return cls


def acquires(
    kind: Literal["spin", "irq", "sleep"], *, shared: bool = False, nested: bool = False, tried: bool = False
) -> Callable[[F], F]:
    """When the method returns (with `tried`: returns True), its object is held as a lock. "spin": preemption is off;
    "irq": interrupts are off too; "sleep": waiting for it sleeps. `shared`: other readers may hold it as well.
    `nested`: it may be taken while another lock of the same class is held."""
    return lambda fn: note(fn, EVENT, ("acquire", kind, shared, nested, tried))


def releases(fn: F) -> F:
    """The method gives its object back."""
    return note(fn, EVENT, ("release",))


def interrupts(change: Literal["off", "on", "save", "restore"]) -> Callable[[F], F]:
    """Interrupts on this processor: off, on, off with the state of before as the result, or the state given back."""
    return lambda fn: note(fn, EVENT, ("interrupts", change))


def preemption(change: Literal["off", "on"]) -> Callable[[F], F]:
    """Preemption on this processor: counted off, and on again."""
    return lambda fn: note(fn, EVENT, ("preemption", change))


def rcu_reader(change: Literal["begin", "end"]) -> Callable[[F], F]:
    """A section that reads what `Rcu` fields hold."""
    return lambda fn: note(fn, EVENT, ("rcu", change))


def handling(change: Literal["begin", "end"]) -> Callable[[F], F]:
    """What lies between is an interrupt's handler."""
    return lambda fn: note(fn, EVENT, ("handler", change))


def may_sleep(fn: F) -> F:
    """The caller may be another task's turn long away."""
    return note(fn, EVENT, ("sleep",))


def may_fault(fn: F) -> F:
    """It touches user memory: the page fault's handler may run inside, and sleep."""
    return note(fn, EVENT, ("fault",))


def faults_unless_atomic(fn: F) -> F:
    """As may_fault, but where sleeping is forbidden it fails instead, and its callers look."""
    return note(fn, EVENT, ("fault", "unless atomic"))


def fault_handler(fn: F) -> F:
    """What runs when something that `may_fault` meets a page that is not there."""
    return note(fn, "fault_handler", True)


def sleepable(fn: F) -> F:
    """True as its result says that sleeping is allowed here (it looked): no spinlock is held, interrupts are on."""
    return note(fn, EVENT, ("ask",))


class EntryPoint(NamedTuple):
    """A way into the kernel."""

    kind: str
    interrupts: bool
    stack: int
    frame: int
    nested: tuple[str, ...]
    holds: tuple[str, ...]


def entry_point(
    kind: str, *, interrupts: bool = True, stack: int = 0, frame: int = 0, nested: tuple[str, ...] = (),
    holds: tuple[str, ...] = (),
) -> Callable[[F], F]:  # fmt: skip
    """The kernel is entered here: a system call, an interrupt, a thread's first function.

    `interrupts`: are they on? `stack`: the bytes that it has (0: not looked at), of which the processor and the
    assembly before it take `frame`. `nested`: what of it ("module.function") also runs when kernel code was
    interrupted, on that code's stack. `holds`: classes of locks ("RunQueue.lock") of which it inherits one, which it
    gives back."""
    return lambda fn: note(fn, "entry", EntryPoint(kind, interrupts, stack, frame, nested, holds))


def requires(*locks: str) -> Callable[[F], F]:
    """The caller holds these locks: a field of self ("lock"), of a parameter ("inode.lock"), or a module's name."""
    return lambda fn: note(fn, "requires", locks)


def recursive(bound: int, reason: str) -> Callable[[F], F]:
    """The function may come back to itself, at most `bound` activations deep: `reason` says what sees to that."""
    return lambda fn: note(fn, "recursive", (bound, reason))


def trusted(proof: Literal["context", "order", "stack", "protection", "user"], reason: str) -> Callable[[F], F]:
    """What the proof would refuse in this function is right for a reason that it cannot know. Counted by the build."""

    def decorate(fn: F) -> F:
        notes = cast("dict[str, object]", fn.__dict__.setdefault("__kaa__", {}))
        given = cast("dict[str, str]", notes.setdefault("trusted", {}))
        given[proof] = reason
        return fn

    return decorate


def fatal(fn: F) -> F:
    """The machine stops in it: the proofs end where it is called."""
    return note(fn, "fatal", True)


def calls_addresses(fn: F) -> F:
    """It calls a function whose address was made a number (a thread's first function): any of those there are."""
    return note(fn, "calls_escaped", True)
