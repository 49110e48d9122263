# SPDX-License-Identifier: Apache-2.0
"""Each pass by itself, on a few lines of source: what its result says, not how it got there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kaa.compiler import ir
from kaa.compiler.effects import Effects
from kaa.compiler.emit.module import Emitter
from kaa.compiler.hostrun import load
from kaa.compiler.parallel import ALONE, Lost, Pair, together
from kaa.compiler.pipeline import Refused, analyse, lower
from kaa.compiler.program import Function, Program
from kaa.compiler.raises import infer_raises

HEAD = """from __future__ import annotations
from kaa.lang import *
from kaa.lang.testing import emit


class Node:
    value: int
    next: Node | None

    def __init__(self, value: int, next: Node | None) -> None:
        self.value = value
        self.next = next


class Root:
    first: Node | None = None


"""
Lowered = Callable[[str], Program]


@pytest.fixture
def lowered(tmp_path: Path) -> Lowered:
    """Lowers the functions of some source."""

    def make(text: str) -> Program:
        file = tmp_path / "program.py"
        file.write_text(HEAD + text)
        module = load(file)
        own = [f for f in vars(module).values() if getattr(f, "__module__", "") == module.__name__]
        return lower([f for f in own if hasattr(f, "__code__")], ("kaaprog_",))

    return make


def function(program: Program, name: str) -> Function:
    return next(f for f in program.functions.values() if f.py.__qualname__ == name)


def instructions(fn: Function, kind: type[ir.Instr]) -> list[ir.Instr]:
    return [i for b in fn.blocks for i in b.instrs if isinstance(i, kind)]


WALK = """
def total(root: Root) -> int:
    sum = 0
    node = root.first
    while node is not None:
        sum += node.value
        node = node.next
    return sum
"""


def test_list_walk_touches_no_counts(lowered: Lowered) -> None:
    program = lowered(WALK)
    fn = function(program, "total")
    before = [str(i) for i in instructions(fn, ir.Load)]
    analyse(program).finish_all()
    assert [str(i) for i in instructions(fn, ir.Load)] == before
    assert not instructions(fn, ir.Retain) and not instructions(fn, ir.Release)


def test_reference_that_a_call_may_overwrite_is_counted(lowered: Lowered) -> None:
    program = lowered("""
def clear(root: Root) -> None:
    root.first = None


def after(root: Root) -> int:
    node = root.first
    assert node is not None
    clear(root)
    return node.value


def before(root: Root) -> int:
    node = root.first
    assert node is not None
    value = node.value
    clear(root)
    return value
""")
    analyse(program).finish_all()
    assert len(instructions(function(program, "after"), ir.Retain)) == 1
    assert not instructions(function(program, "before"), ir.Retain)


def test_what_the_running_thread_alone_changes_is_not_counted_over_the_end_of_a_lock(lowered: Lowered) -> None:
    program = lowered("""
class Lock:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        pass


class Task:
    root: Guarded[Root, "current() & lock"]
    lock: Lock

    def __init__(self) -> None:
        self.lock = Lock()
        self.root = Root()


task = Task()


@borrowed
def current() -> Task:
    return task


def own(other: Task) -> bool:
    task = current()
    root = task.root
    with other.lock:
        pass
    return root.first is None


def foreign(other: Task) -> bool:
    root = other.root
    with other.lock:
        pass
    return root.first is None
""")
    analyse(program).finish_all()
    assert not instructions(function(program, "own"), ir.Retain)
    assert instructions(function(program, "foreign"), ir.Retain)


def test_what_a_lock_guarded_is_counted_when_that_is_given_back_by_hand(lowered: Lowered) -> None:
    program = lowered("""
class Lock:
    @acquires("spin")
    def acquire(self) -> None:
        pass

    @releases
    def release(self) -> None:
        pass


class Place:
    root: Guarded[Root, "lock"]
    lock: Lock

    def __init__(self) -> None:
        self.lock = Lock()
        self.root = Root()


def after(place: Place) -> bool:
    place.lock.acquire()
    root = place.root
    place.lock.release()
    return root.first is None


def under(place: Place) -> bool:
    place.lock.acquire()
    root = place.root
    empty = root.first is None
    place.lock.release()
    return empty
""")
    analyse(program).finish_all()
    assert instructions(function(program, "after"), ir.Retain)
    assert not instructions(function(program, "under"), ir.Retain)


def test_owned_local_is_moved_at_its_last_use(lowered: Lowered) -> None:
    program = lowered("""
def make(root: Root) -> Node:
    node = Node(1, None)
    return node
""")
    analyse(program).finish_all()
    assert not instructions(function(program, "make"), ir.Retain)


def test_effects_name_the_places_that_callees_write(lowered: Lowered) -> None:
    program = lowered("""
def set_first(root: Root) -> None:
    root.first = None


def outer(root: Root) -> None:
    set_first(root)


def reads(root: Root) -> bool:
    return root.first is None
""")
    infer_raises(program)
    effects = Effects(program)
    effects.solve()
    bit = next(effects.bits[k] for k in effects.bits if k.endswith("Root.first"))
    assert effects.writes[function(program, "outer")] & bit
    assert not effects.writes.get(function(program, "reads"), 0) & bit


def test_function_raises_only_if_an_error_gets_out(lowered: Lowered) -> None:
    program = lowered("""
def bad(n: int) -> int:
    if n == 0:
        raise ValueError
    return n


def caught(n: int) -> int:
    try:
        return bad(n)
    except Exception:
        return -1


def passed(n: int) -> int:
    return bad(n) + 1


def calm(n: int) -> int:
    return caught(n)
""")
    infer_raises(program)
    assert [function(program, n).raises for n in ("bad", "caught", "passed", "calm")] == [True, False, True, False]
    calls = [i for i in instructions(function(program, "calm"), ir.Call) if isinstance(i, ir.Call)]
    assert [c.handler for c in calls] == [None]


def refusal(lowered: Lowered, text: str) -> str:
    with pytest.raises(Refused) as caught:
        analyse(lowered(text))
    return caught.value.errors[0].message


def test_local_that_may_be_unset_is_refused(lowered: Lowered) -> None:
    message = refusal(lowered, """
def f(n: int) -> int:
    if n > 0:
        m = 1
    return m
""")
    assert message == "'m' may be used before it is set"


def test_late_constant_must_fit(lowered: Lowered) -> None:
    assert "300 does not fit in u8" in refusal(lowered, """
def f(x: u8) -> u8:
    n = 300
    return n + x
""")


def test_mask_keeps_its_sign_bits(lowered: Lowered) -> None:
    lowered("""
def f(x: u64) -> u64:
    return x & ~7
""")


def test_unknown_annotation_is_refused(lowered: Lowered) -> None:
    assert "union" in refusal(lowered, """
def f(x: Node | Root) -> int:
    return 1
""")


def test_frozen_object_is_data(lowered: Lowered) -> None:
    program = lowered("""
table = Root()
table.first = Node(7, None)


def f() -> bool:
    return table.first is None
""")
    program.freezer.flush()
    frozen = [f.initialiser for f in program.freezer.objects.values()]
    assert any(".f_value = 7LL" in text for text in frozen)


def test_c_names_the_python_line(lowered: Lowered, tmp_path: Path) -> None:
    program = lowered(WALK)
    analyse(program).finish_all()
    text = "\n".join(Emitter(program, str(tmp_path)).files().values())
    line = (HEAD + WALK).splitlines().index("    node = root.first") + 1
    assert f'# {line} "program.py"' in text
    assert "KAA_RETAIN" not in text.split("__total(")[-1].split("\n}")[0]


def test_relaxed_words_are_loaded_and_stored_once(lowered: Lowered, tmp_path: Path) -> None:
    program = lowered("""
class Inode:
    mode: Relaxed[u32] = 0
    hidden: Relaxed[bool] = False


def show(inode: Inode, mode: u32) -> u32:
    inode.hidden = False
    old = inode.mode
    inode.mode = mode
    return old
""")
    analyse(program).finish_all()
    text = "\n".join(Emitter(program, str(tmp_path)).files().values()).split("__show(")[-1]
    assert text.count("__atomic_load_n(&") == 1 and text.count("__atomic_store_n(&") == 2


def test_what_is_set_once_is_exchanged_and_read_without_counts(lowered: Lowered, tmp_path: Path) -> None:
    program = lowered("""
class Dentry:
    node: Once[Node | None] = None


def give(dentry: Dentry, node: Node) -> None:
    dentry.node = node


def value(dentry: Dentry, other: Dentry, node: Node) -> int:
    found = dentry.node
    give(other, node)
    return found.value if found is not None else 0
""")
    analyse(program).finish_all()
    assert not instructions(function(program, "value"), ir.Retain)
    text = "\n".join(Emitter(program, str(tmp_path)).files().values())
    assert text.count("__atomic_compare_exchange_n(&") == 1 and text.count(", __ATOMIC_ACQUIRE)") == 1


def test_relaxed_is_for_words(lowered: Lowered) -> None:
    assert "a Relaxed field is" in refusal(lowered, "class A:\n    n: Relaxed[Node | None] = None\n\n\n"
                                                     "def f(a: A) -> bool:\n    return a.n is None\n")


def test_two_processes_write_what_one_does(lowered: Lowered, tmp_path: Path) -> None:
    text = WALK + """
def first(root: Root) -> Node | None:
    return root.first


def replace(root: Root, node: Node) -> int:
    old = root.first
    root.first = node
    return old.value if old is not None else 0
"""

    def share(program: Program, pair: Pair) -> dict[str, str]:
        return Emitter(program, str(tmp_path), analyse(program, pair).finish).files(pair)

    by_two, by_one = lowered(text), lowered(text)
    assert together(lambda pair: share(by_two, pair)) == share(by_one, ALONE)


def test_an_error_in_the_other_process_is_told(lowered: Lowered) -> None:
    def share(pair: Pair) -> dict[str, str]:
        if pair.index == 1:
            raise ValueError("no such thing")
        return {text: text for text in pair.exchange("")}

    with pytest.raises(Lost, match="no such thing"):
        together(share)
