# SPDX-License-Identifier: Apache-2.0
"""The typed intermediate representation: basic blocks of simple instructions over typed variables (not SSA), with
raising calls as edges to a handler. `format_function` prints it (`./kaa compile --dump ir`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kaa.compiler.types import Type, strip

if TYPE_CHECKING:
    from kaa.compiler.classes import ClassInfo, Field
    from kaa.compiler.program import Function


# ---- values --------------------------------------------------------------------------------------------------------


class Value:
    """Something an instruction can use."""

    type: Type


@dataclass(eq=False, slots=True)
class Var(Value):
    """A local: named by the program or made by the compiler (`temp`)."""

    name: str
    type: Type
    temp: bool = False
    param: bool = False
    keep: bool = False  # a temporary whose life lasts to the end of the function (a view of it escaped the statement)
    fresh: bool = False  # the place of a new struct: a constructor's, a call's, copy()'s
    known: bool = False  # never None, although its type says it could be
    rcu: bool = False  # the place of an array that is an Rcu field

    def __str__(self) -> str:
        return self.name


@dataclass(slots=True)
class Const(Value):
    """A constant: int, bool or None (value None)."""

    type: Type
    value: Any

    def __str__(self) -> str:
        return str(self.value)


@dataclass(slots=True)
class Symbol(Value):
    """The address of something static: a frozen object, bytes, text, function. `expr` is its C spelling."""

    type: Type
    expr: str

    def __str__(self) -> str:
        return self.expr


# ---- places --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class FieldPlace:
    """A field of an object or struct whose address is `base`."""

    base: Value
    owner: ClassInfo
    field: Field

    @property
    def type(self) -> Type:
        return self.field.type

    @property
    def key(self) -> str:
        return f"{self.field.declared_in}.{self.field.name}"

    def __str__(self) -> str:
        return f"{self.base}.{self.field.name}"


@dataclass(slots=True)
class ElementPlace:
    """Element `index` of the row that starts at `base` (a Ptr or the place of an Array); no bounds check."""

    base: Value
    index: Value
    type: Type

    @property
    def key(self) -> str:
        from kaa.compiler.types import mangle, nonnull

        return f"[]{mangle(nonnull(self.type))}"

    def __str__(self) -> str:
        return f"{self.base}[{self.index}]"


Place = FieldPlace | ElementPlace


def is_rcu(place: Place) -> bool:
    """A place that readers look at while it is written: an Rcu field, or an element of one that is an array."""
    if isinstance(place, FieldPlace):
        return place.field.protection == "Rcu"
    return isinstance(place.base, Var) and place.base.rcu

# ---- instructions --------------------------------------------------------------------------------------------------


class Instr:
    """Base: `line` is the source line; `uses()` its value operands, `defs()` the variables it sets."""

    line: int = 0
    file: str = ""
    site: int = 0  # in an expanded body: the function's own line that it was expanded at
    primitive: bool = False  # part of what an Event stands for
    handler: Handler | None = None  # where it may leave for, of a RaisingInstr; without one it cannot raise (or traps)

    def uses(self) -> list[Value]:
        return []

    def defs(self) -> list[Var]:
        return []


def _place_uses(p: Place) -> list[Value]:
    return [p.base] if isinstance(p, FieldPlace) else [p.base, p.index]


@dataclass(eq=False)
class Assign(Instr):
    dst: Var
    src: Value

    def uses(self) -> list[Value]:
        return [self.src]

    def defs(self) -> list[Var]:
        return [self.dst]

    def __str__(self) -> str:
        return f"{self.dst} = {self.src}"


@dataclass(eq=False)
class Op(Instr):
    """dst = op(args): arithmetic, comparison, casts. `checked`: traps on overflow."""

    dst: Var
    op: str
    args: list[Value]
    checked: bool = False

    def uses(self) -> list[Value]:
        return list(self.args)

    def defs(self) -> list[Var]:
        return [self.dst]

    def __str__(self) -> str:
        return f"{self.dst} = {self.op}{'!' if self.checked else ''} {', '.join(map(str, self.args))}"


@dataclass(eq=False)
class Load(Instr):
    dst: Var
    place: Place

    def uses(self) -> list[Value]:
        return _place_uses(self.place)

    def defs(self) -> list[Var]:
        return [self.dst]

    def __str__(self) -> str:
        return f"{self.dst} = load {self.place}"


@dataclass(eq=False)
class Store(Instr):
    """place = src. `init`: the place is known to hold nothing yet. `consumes` is set by ownership."""

    place: Place
    src: Value
    init: bool = False
    take: bool = False  # the source's count moves into the place

    def uses(self) -> list[Value]:
        return [*_place_uses(self.place), self.src]

    def __str__(self) -> str:
        return f"store{'.init' if self.init else ''} {self.place} = {self.src}"


@dataclass(eq=False)
class AddressOf(Instr):
    """dst = the address of a struct, array or atomic place."""

    dst: Var
    place: Place

    def uses(self) -> list[Value]:
        return _place_uses(self.place)

    def defs(self) -> list[Var]:
        return [self.dst]

    def __str__(self) -> str:
        return f"{self.dst} = &{self.place}"


@dataclass(eq=False)
class Fresh(Instr):
    """dst = the address of zeroed storage for a struct or array in this function's frame."""

    dst: Var
    zero: bool = True

    def defs(self) -> list[Var]:
        return [self.dst]

    def __str__(self) -> str:
        return f"{self.dst} = fresh {self.dst.type}"


@dataclass(eq=False)
class CopyPlace(Instr):
    """Copies a struct or array value from one place to another."""

    dst: Value
    src: Value

    def uses(self) -> list[Value]:
        return [self.dst, self.src]

    def __str__(self) -> str:
        return f"copy {self.dst} <- {self.src}"


@dataclass(eq=False)
class Raw(Instr):
    """dst = a C expression template over the arguments ({0}, {1} …). `clobbers`: it may overwrite any field."""

    dst: Var | None
    template: str
    args: list[Value]
    takes: bool = False  # the result carries a count (it is owned)
    writes: str = ""  # the key of the places it overwrites; "*": any

    def uses(self) -> list[Value]:
        return list(self.args)

    def defs(self) -> list[Var]:
        return [self.dst] if self.dst is not None else []

    def __str__(self) -> str:
        return f"{self.dst} = c`{self.template}` {', '.join(map(str, self.args))}"


@dataclass(eq=False)
class Check(Instr):
    """Traps with `kind` unless the condition holds. `template` is a C condition over args."""

    template: str
    args: list[Value]
    kind: str

    def uses(self) -> list[Value]:
        return list(self.args)

    def __str__(self) -> str:
        return f"check {self.kind}: c`{self.template}` {', '.join(map(str, self.args))}"


@dataclass(eq=False)
class Effect(Instr):
    """Nothing happens here but what `key` names, for the analyses: "@unlock" ends what a lock protected."""

    key: str

    def __str__(self) -> str:
        return f"effect {self.key}"


@dataclass(eq=False)
class Event(Instr):
    """No code: something that the proofs follow happens here. `what` is the note of the function that does it
    (kaa.lang.proofs), `subject` the lock or the saved interrupt state, `result` what the function gave. They are not
    uses: a variable may be dead, or hold something else, by now; its definition says what it was."""

    what: tuple[Any, ...]
    subject: Value | None = None
    result: Value | None = None

    def __str__(self) -> str:
        shown = " ".join(str(w) for w in self.what if w not in (False, ""))
        return f"event {shown}{'' if self.subject is None else f' {self.subject}'}"


@dataclass(eq=False)
class Drop(Instr):
    """The end of a variable's life: what it owns is released."""

    var: Var

    def __str__(self) -> str:
        return f"drop {self.var}"


@dataclass(eq=False)
class Retain(Instr):
    value: Value

    def uses(self) -> list[Value]:
        return [self.value]

    def __str__(self) -> str:
        return f"retain {self.value}"


@dataclass(eq=False)
class Release(Instr):
    value: Value
    sure: bool = False  # the value is not None

    def uses(self) -> list[Value]:
        return [self.value]

    def __str__(self) -> str:
        return f"release {self.value}"


@dataclass(eq=False)
class Handler:
    """Where an error goes: the variable that receives its number, and the block."""

    var: Var
    block: Block


class RaisingInstr(Instr):
    """An instruction that may leave by `handler`."""


@dataclass(eq=False)
class Call(RaisingInstr):
    dsts: list[Var]
    callee: Function
    args: list[Value]
    handler: Handler | None = None

    def uses(self) -> list[Value]:
        return list(self.args)

    def defs(self) -> list[Var]:
        return self.dsts

    def __str__(self) -> str:
        arrow = f" !-> {self.handler.block.name}" if self.handler else ""
        dsts, args = ", ".join(map(str, self.dsts)) or "_", ", ".join(map(str, self.args))
        return f"{dsts} = call {self.callee.cname}({args}){arrow}"


@dataclass(eq=False)
class CallVirtual(RaisingInstr):
    dsts: list[Var]
    slot: Any
    args: list[Value]
    handler: Handler | None = None

    def uses(self) -> list[Value]:
        return list(self.args)

    def defs(self) -> list[Var]:
        return self.dsts

    def __str__(self) -> str:
        arrow = f" !-> {self.handler.block.name}" if self.handler else ""
        dsts, args = ", ".join(map(str, self.dsts)) or "_", ", ".join(map(str, self.args))
        return f"{dsts} = virtual {self.slot.name}({args}){arrow}"


@dataclass(eq=False)
class CallPointer(RaisingInstr):
    dsts: list[Var]
    pointer: Value
    args: list[Value]
    handler: Handler | None = None

    def uses(self) -> list[Value]:
        return [self.pointer, *self.args]

    def defs(self) -> list[Var]:
        return self.dsts

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.dsts)) or '_'} = call *{self.pointer}({', '.join(map(str, self.args))})"


@dataclass(eq=False)
class New(RaisingInstr):
    dst: Var
    info: ClassInfo
    handler: Handler | None = None

    def defs(self) -> list[Var]:
        return [self.dst]

    def __str__(self) -> str:
        return f"{self.dst} = new {self.info.name}"


@dataclass(eq=False)
class RawRaising(RaisingInstr):
    """dst = a C expression that yields null when memory runs out (MemoryError)."""

    dst: Var
    template: str
    args: list[Value]
    handler: Handler | None = None

    def uses(self) -> list[Value]:
        return list(self.args)

    def defs(self) -> list[Var]:
        return [self.dst]

    def __str__(self) -> str:
        return f"{self.dst} = c`{self.template}` {', '.join(map(str, self.args))} or MemoryError"


# ---- ends of blocks ------------------------------------------------------------------------------------------------


class Terminator(Instr):
    def targets(self) -> list[Block]:
        return []


@dataclass(eq=False)
class Goto(Terminator):
    block: Block

    def targets(self) -> list[Block]:
        return [self.block]

    def __str__(self) -> str:
        return f"goto {self.block.name}"


@dataclass(eq=False)
class Branch(Terminator):
    """To `yes` if cond. `likely`: 1 yes, 0 no, -1 not known."""

    cond: Value
    yes: Block
    no: Block
    likely: int = -1

    def uses(self) -> list[Value]:
        return [self.cond]

    def targets(self) -> list[Block]:
        return [self.yes, self.no]

    def __str__(self) -> str:
        return f"if {self.cond} goto {self.yes.name} else {self.no.name}"


@dataclass(eq=False)
class Switch(Terminator):
    value: Value
    cases: list[tuple[int, Block]]
    default: Block

    def uses(self) -> list[Value]:
        return [self.value]

    def targets(self) -> list[Block]:
        return [*(b for _, b in self.cases), self.default]

    def __str__(self) -> str:
        return f"switch {self.value} {', '.join(f'{v}: {b.name}' for v, b in self.cases)} else {self.default.name}"


@dataclass(eq=False)
class Return(Terminator):
    values: list[Value]
    moved: set[Var] = field(default_factory=set[Var])

    def uses(self) -> list[Value]:
        return list(self.values)

    def __str__(self) -> str:
        return f"return {', '.join(map(str, self.values))}"


@dataclass(eq=False)
class RaiseOut(Terminator):
    """Leaves the function with an error."""

    error: Value

    def uses(self) -> list[Value]:
        return [self.error]

    def __str__(self) -> str:
        return f"raise {self.error}"


@dataclass(eq=False)
class Trap(Terminator):
    kind: str
    text: Value | None = None

    def uses(self) -> list[Value]:
        return [self.text] if self.text is not None else []

    def __str__(self) -> str:
        return f"trap {self.kind}"


@dataclass(eq=False)
class Unreachable(Terminator):
    def __str__(self) -> str:
        return "unreachable"


class Block:
    """Instructions that run in a row, then one terminator."""

    __slots__ = ("name", "instrs", "raising", "end", "cold")

    def __init__(self, name: str) -> None:
        self.name = name
        self.instrs: list[Instr] = []
        self.raising: list[Instr] = []  # those that were lowered with a handler
        self.end: Terminator | None = None
        self.cold = False

    def successors(self) -> list[Block]:
        """Where control may go from here, handlers included."""
        out = [i.handler.block for i in self.raising if i.handler is not None]
        return out + (self.end.targets() if self.end is not None else [])


def gives_current(instr: Instr) -> bool:
    """Is it a call of `current()`, which gives the same task whenever one asks?"""
    return isinstance(instr, Call) and instr.callee.name == "current" and "borrowed" in instr.callee.marks


TRAP_KINDS: dict[str, int] = {
    "overflow": 0, "index": 1, "none": 2, "divide": 3, "assert": 4, "unreachable": 5, "narrow": 6, "unhandled": 7,
    "match": 8, "empty": 9, "shift": 10,
}  # fmt: skip


def format_function(fn: Function) -> str:
    """The function's IR as text."""
    params = ", ".join(f"{v.name}: {strip(v.type)}" for v in fn.params)
    out = [f"def {fn.cname}({params}) -> {fn.result}{' raises' if fn.raises else ''}:"]
    for block in fn.blocks:
        out.append(f"  {block.name}:")
        out += [f"    {i}" for i in block.instrs]
        out.append(f"    {block.end}")
    return "\n".join(out)
