# SPDX-License-Identifier: Apache-2.0
"""Lock classes: a name, a kind and a bit for each lock that the program takes.

A lock is named after the place that holds it: the field ("Inode.lock", by the class that declares the field) or the
module's variable ("tree.lock"). A class of locks without `@lock` of its own (Zone, Bucket) is one lock class by its own
name, wherever its instances are. A lock that came as a parameter has a bit that says so; callers put in what they pass.
"""

from __future__ import annotations

from typing import Any, cast

from kaa.compiler import ir
from kaa.compiler.classes import ClassInfo
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Value, Var
from kaa.compiler.program import Function, Program
from kaa.compiler.source import markers, unwrap
from kaa.compiler.types import ClassType, StructType, nonnull, strip
from kaa.lang.proofs import EVENT

IRQ, PREEMPT, HANDLER, RCU = 1, 2, 4, 8
CONTEXTS = IRQ | PREEMPT | HANDLER | RCU
CONTEXT_NAMES = {
    IRQ: "interrupts are off", PREEMPT: "preemption is off", HANDLER: "an interrupt is handled",
    RCU: "an RCU reader runs",
}  # fmt: skip

CURRENT = "@current"
"""The running task's path."""

KINDS = ("spin", "irq", "sleep")
PARAMETERS = 8
_FIRST_PARAMETER = 4
_FIRST_LOCK = _FIRST_PARAMETER + PARAMETERS * len(KINDS) * 2
PARAMETER_BITS = (1 << _FIRST_LOCK) - (1 << _FIRST_PARAMETER)


def parameter_bit(index: int, kind: str, nested: bool) -> int:
    """The bit of "the lock that is parameter `index`"; 0 if there are too many parameters."""
    if index >= PARAMETERS:
        return 0
    return 1 << (_FIRST_PARAMETER + (index * len(KINDS) + KINDS.index(kind)) * 2 + nested)


def parameter_of(bit: int) -> tuple[int, str, bool]:
    """(index, kind, nested) of a parameter's bit."""
    n = bit.bit_length() - 1 - _FIRST_PARAMETER
    return n // 2 // len(KINDS), KINDS[n // 2 % len(KINDS)], bool(n % 2)


def bits(mask: int) -> list[int]:
    """The single bits of a mask, lowest first."""
    out: list[int] = []
    while mask:
        low = mask & -mask
        out.append(low)
        mask ^= low
    return out


class LockTable:
    """All lock classes of a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.names: dict[int, str] = {}
        self.kinds: dict[int, str] = {}
        self.atomic = CONTEXTS
        """Bits under which nobody may sleep."""
        self.irq_locks = 0
        """Bits of locks that keep interrupts off while they are held."""
        self.sleeping = 0
        self.taken: set[int] = set()
        """The bits of classes that some function takes, itself or by what it passes."""
        self.classes: dict[int, set[ClassInfo]] = {}
        """What the locks of a bit are instances of."""
        self.unknown: dict[Function, str] = {}
        """Functions with a lock whose name cannot be told."""
        self._bits: dict[tuple[str, str, bool], int] = {}
        self._owners: dict[str, str] = {}
        self._values: dict[tuple[int, str, bool], tuple[int, Value]] = {}
        self._kinds_of: dict[ClassInfo, str] = {}
        self._definitions: dict[Function, dict[Var, list[ir.Instr]]] = {}
        self._globals = _frozen_names(program)
        for index in range(PARAMETERS):
            for kind in KINDS:
                for nested in (False, True):
                    self._note(parameter_bit(index, kind, nested), f"parameter {index + 1}", kind)

    def _note(self, bit: int, name: str, kind: str) -> int:
        self.names[bit], self.kinds[bit] = name, kind
        if kind == "sleep":
            self.sleeping |= bit
        else:
            self.atomic |= bit
        if kind == "irq":
            self.irq_locks |= bit
        return bit

    def named(self, name: str, kind: str, nested: bool) -> int:
        """The bit of a lock class."""
        key = (name, kind, nested)
        if key not in self._bits:
            bit = 1 << (_FIRST_LOCK + len(self._bits))
            self._bits[key] = self._note(bit, name + (" (nested)" if nested else ""), kind)
        return self._bits[key]

    def is_nested(self, bit: int) -> bool:
        """Is it the bit of locks that are taken inside others of their class, in an order that the program keeps?"""
        return self.names[bit].endswith(" (nested)")

    def show(self, bit: int) -> str:
        """A bit as messages call it."""
        return CONTEXT_NAMES.get(bit) or self.names[bit]

    @property
    def globals(self) -> dict[str, str]:
        """The names of the image's locks, by their symbols."""
        return self._globals

    def mask_of(self, name: str) -> int:
        """All bits of a lock class, nested or not; 0 if nobody takes one of that name."""
        mask = 0
        for (one, _, _), bit in self._bits.items():
            mask |= bit if one == name else 0
        return mask

    def mask_of_instances(self, name: str) -> int:
        """The bits of locks that are instances of a class of that name, or of its subclasses."""
        mask = 0
        for bit, infos in self.classes.items():
            if any(is_class_named(info, name) for info in infos):
                mask |= bit
        return mask

    def all_classes(self) -> list[int]:
        """The bits of all lock classes that are taken anywhere, by name."""
        return sorted(self.taken, key=lambda b: self.names[b])

    # ---- what a value is ---------------------------------------------------------------------------------------------

    def definitions(self, fn: Function) -> dict[Var, list[ir.Instr]]:
        """The instructions that set each variable of a function."""
        known = self._definitions.get(fn)
        if known is None:
            known = dict[Var, list[ir.Instr]]()
            for block in fn.blocks:
                for instr in block.instrs:
                    for var in instr.defs():
                        if not (isinstance(instr, ir.Assign) and isinstance(instr.src, ir.Const)):
                            known.setdefault(var, []).append(instr)
            self._definitions[fn] = known
        return known

    def bit_of(self, fn: Function, value: Value | None, kind: str, nested: bool = False) -> int:
        """The bit of the lock that `value` is in `fn`; 0 if that cannot be told."""
        if value is None:
            return 0
        key = (id(value), kind, nested)
        known = self._values.get(key)
        if known is None:
            known = self._values[key] = (self._bit_of(fn, value, kind, nested), value)
        return known[0]

    def _bit_of(self, fn: Function, value: Value, kind: str, nested: bool) -> int:
        info = class_of(value)
        if info is None or self.kind_of(info) != kind:
            return 0
        name = self._name_of(fn, value, 0)
        if isinstance(name, int):
            return parameter_bit(name, kind, nested)
        if not name:
            name = f"{info.name} (which one cannot be told)"
            self.unknown.setdefault(fn, name)
        bit = self.named(name, kind, nested)
        self.classes.setdefault(bit, set()).update(self.classes_of(fn, value))
        return bit

    def _name_of(self, fn: Function, value: Value, depth: int) -> str | int:
        """The name of a lock, or the index of the parameter that it is, or "" (cannot be told)."""
        info = class_of(value)
        if info is not None and "__kaa_lock__" not in info.py.__dict__:
            return info.name
        if isinstance(value, ir.Symbol):
            return self._globals.get(value.expr.rstrip(")").rpartition("&")[2], "")
        if not isinstance(value, Var) or depth > 8:
            return ""
        if value.param:
            return fn.params.index(value) if value in fn.params else ""
        found = {self._defined_name(fn, instr, depth) for instr in self.definitions(fn).get(value, ())}
        return found.pop() if len(found) == 1 else ""

    def _defined_name(self, fn: Function, instr: ir.Instr, depth: int) -> str | int:
        if isinstance(instr, ir.Assign):
            return self._name_of(fn, instr.src, depth + 1)
        if isinstance(instr, (ir.Load, ir.AddressOf)):
            if isinstance(instr.place, ir.FieldPlace):
                return f"{self._owner(instr.place)}.{instr.place.field.name}"
            base = instr.place.base
            name = self._name_of(fn, base, depth + 1)
            return name + "[]" if isinstance(name, str) and name else name
        return ""

    def _owner(self, place: ir.FieldPlace) -> str:
        """The class that declares a field, with its module where two classes have the same name."""
        declared = place.field.declared_in
        if declared not in self._owners:
            info = next((i for i in place.owner.mro() if i.cname == declared), place.owner)
            name = info.py.__qualname__
            if name in self._owners.values():
                name = f"{info.py.__module__.rpartition('.')[2]}.{name}"
            self._owners[declared] = name
        return self._owners[declared]

    def classes_of(self, fn: Function, value: Value | None) -> set[ClassInfo]:
        """The classes that a value is known to be of: its own, and of what it was before it was taken as its base's."""
        found: set[ClassInfo] = set()
        for _ in range(8):
            info = class_of(value)
            if info is not None:
                found.add(info)
            sources = self.definitions(fn).get(value, ()) if isinstance(value, Var) else ()
            if len(sources) != 1 or not isinstance(sources[0], ir.Assign):
                break
            value = sources[0].src
        return found

    def of_value(self, fn: Function, value: Value | None) -> list[int]:
        """The bits that a lock may be held under, nested or not, by what its class says that its methods do."""
        info = class_of(value)
        kind = self.kind_of(info) if info is not None else ""
        if not kind:
            return []
        plain = self.bit_of(fn, value, kind, False)
        if plain & PARAMETER_BITS:
            return [plain, plain << 1]
        nested = self._bits.get((self.names[plain], kind, True)) if plain else None
        return [plain] if nested is None else [plain, nested]

    def kind_of(self, info: ClassInfo) -> str:
        """The kind of a class of locks; "" if it is none."""
        if info not in self._kinds_of:
            self._kinds_of[info] = kind_of(info)
        return self._kinds_of[info]

    def required(self, fn: Function, name: str) -> tuple[int, str]:
        """The bit and the path of a lock that `@requires` names: "lock" is self's field, "inode.lock" a parameter's.
        Raises CompileError if there is no such lock."""
        first, _, rest = name.partition(".")
        param = next((v for v in fn.params if v.name == "p_" + first), None)
        if param is None and fn.params and fn.kind == "method":
            param, rest = fn.params[0], name
        value: Value | None = param
        for part in rest.split(".") if rest else ():
            info = class_of(value)
            field = info.fields.get(part) if info is not None else None
            if info is None or field is None or value is None:
                value = None
                break
            step = Var(f"{value}.{part}", field.type)
            self.definitions(fn)[step] = [ir.Load(step, ir.FieldPlace(value, info, field))]
            value = step
        found = self.of_value(fn, value)
        if value is None or not found:
            raise CompileError(f'@requires("{name}"): {fn.name} knows no such lock', fn.filename, fn.node)
        return found[0], self.path_of(fn, value)

    # ---- which instance ----------------------------------------------------------------------------------------------

    def path_of(self, fn: Function, value: Value | None, depth: int = 0) -> str:
        """An instance as a path from a variable, a parameter or a global: "p_self.lock"."""
        if not isinstance(value, Var):
            return str(value).rstrip(")").rpartition("&")[2] if isinstance(value, ir.Symbol) else str(value)
        if value.param or depth > 8:
            return value.name
        found = self.definitions(fn).get(value, ())
        if len(found) != 1:
            return value.name
        instr = found[0]
        if isinstance(instr, ir.Assign):
            return self.path_of(fn, instr.src, depth + 1)
        if isinstance(instr, (ir.Load, ir.AddressOf)) and isinstance(instr.place, ir.FieldPlace):
            return f"{self.path_of(fn, instr.place.base, depth + 1)}.{instr.place.field.name}"
        return CURRENT if ir.gives_current(instr) else value.name


def is_class_named(info: ClassInfo, name: str) -> bool:
    """Is it a class of that name, or derived from one?"""
    return any(one.py.__qualname__ == name for one in info.mro())


def kind_of(info: ClassInfo) -> str:
    """ "spin", "irq" or "sleep", as the class's methods say; "" if it is no lock."""
    for one in info.mro():
        for member in one.py.__dict__.values():
            what = markers(unwrap(member)).get(EVENT, ("",))
            if what[0] == "acquire":
                return str(what[1])
    return ""


def class_of(value: Value | None) -> ClassInfo | None:
    """The class of an object; None for what is none."""
    if value is None:
        return None
    t = nonnull(strip(value.type))
    return t.info if isinstance(t, (ClassType, StructType)) else None


def _frozen_names(program: Program) -> dict[str, str]:
    """The names of the locks in the image, by their C names: after the field of the object that has them, if one has,
    and else after their module's variable."""
    by_id: dict[int, str] = {}
    for module in program.sources.modules():
        for name, obj in vars(module.live).items():
            cls = _lock_class(obj)
            if cls is not None:
                own = "" if "__kaa_lock__" in cls.__dict__ else cls.__qualname__
                by_id.setdefault(id(obj), own or f"{module.name.rpartition('.')[2]}.{name}")
    frozen = list(program.freezer.objects.values())
    for one in frozen:
        info = one.type.info if isinstance(one.type, ClassType) else None
        live: Any = one.obj
        for field in info.fields.values() if info is not None and not isinstance(live, (list, dict)) else ():
            part: Any = getattr(cast(Any, live), field.name, None)
            cls = _lock_class(part)
            if cls is not None and "__kaa_lock__" in cls.__dict__ and info is not None:
                owner = next((i for i in info.mro() if i.cname == field.declared_in), info)
                by_id[id(part)] = f"{owner.py.__qualname__}.{field.name}"
    return {one.name: by_id[id(one.obj)] for one in frozen if id(one.obj) in by_id}


def _lock_class(obj: Any) -> type[Any] | None:
    """The class of a live lock; None for anything else."""
    cls = cast("type[Any]", type(obj))
    return cls if hasattr(cls, "__kaa_lock__") else None
