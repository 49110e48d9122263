# SPDX-License-Identifier: Apache-2.0
"""The proof of protection: for each kind of statement programs that it accepts, and programs that it refuses."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kaa.compiler.hostrun import load
from kaa.compiler.pipeline import analyse, lower
from kaa.compiler.proofs import protection
from kaa.compiler.proofs.graph import Graph
from kaa.compiler.proofs.locks import LockTable
from kaa.compiler.proofs.summary import Summaries

LOCKS = """from __future__ import annotations
from kaa.lang import *


@lock
class Lock:
    word: Atomic[u32]

    def __init__(self) -> None:
        self.word = Atomic(0)

    @acquires("spin")
    def acquire(self) -> None:
        self.word.store(1)

    @acquires("spin", tried=True)
    def try_acquire(self) -> bool:
        return self.word.exchange(1) == 0

    @releases
    def release(self) -> None:
        self.word.store(0)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.release()


@lock
class Sem(Lock):
    @acquires("sleep", shared=True)
    def acquire_read(self) -> None:
        self.word.store(2)

    @acquires("sleep")
    def acquire_write(self) -> None:
        self.word.store(1)


@preemption("off")
def hold_still() -> None:
    pass


@preemption("on")
def go_on() -> None:
    pass


tree_lock = Lock()


@rcu_reader("begin")
def begin_read() -> None:
    pass


@rcu_reader("end")
def end_read() -> None:
    pass
"""

HEAD = """from __future__ import annotations
from typing import Final
from kaa.lang import *
from kaa_test_locks import *


class Item:
    value: Final[int]
    next: Guarded[Item | None, "Queue.lock"]

    def __init__(self, value: int) -> None:
        self.value = value
        self.next = None


class Queue:
    lock: Final[Lock]
    sem: Final[Sem]
    first: Guarded[Item | None, "lock"]
    length: Guarded[int, "lock"]
    numbers: Guarded[list[int], "lock"]
    table: Guarded[Array[u32, 4], "sem"]
    limit: Final[int]

    def __init__(self, limit: int) -> None:
        self.lock = Lock()
        self.sem = Sem()
        self.first = None
        self.length = 0
        self.numbers = []
        self.limit = limit
        self.prepare()

    def prepare(self) -> None:
        self.length = 1


"""
Proof = Callable[[str], list[str]]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proof:
    """What the proof refuses in a program, as "rule: message | note | note"."""
    (tmp_path / "kaa_test_locks.py").write_text(LOCKS)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "kaa_test_locks", raising=False)

    def prove(text: str) -> list[str]:
        file = tmp_path / f"program{len(list(tmp_path.iterdir()))}.py"
        file.write_text(HEAD + text)
        module = load(file)
        own = [f for f in vars(module).values() if getattr(f, "__module__", "") == module.__name__]
        program = lower([f for f in own if hasattr(f, "__code__")], ("kaaprog_", "kaa_test_locks"))
        analyse(program).finish_all()
        graph, table = Graph(program), LockTable(program)
        found = protection.prove(graph, table, Summaries(graph, table))
        return [
            " | ".join([f"{rule}: {e.message}", *(n.partition(", in ")[2] for n in e.notes)]) for rule, _, e in found
        ]

    return prove


# ---- Guarded ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "with queue.lock:\n        queue.length += 1",
        "queue.lock.acquire()\n    queue.length += 1\n    queue.lock.release()",
        "held = queue.lock\n    with held:\n        queue.length += 1",
        "other = queue\n    with queue.lock:\n        other.length += 1",
        "if queue.lock.try_acquire():\n        queue.length += 1\n        queue.lock.release()",
        "with queue.lock:\n        queue.numbers.append(queue.numbers[0])",
        "numbers = queue.numbers\n    with queue.lock:\n        numbers.append(1)",
        "queue.sem.acquire_write()\n    queue.table[1] = 2\n    queue.sem.release()",
        "queue.sem.acquire_read()\n    assert queue.table[1] == 2\n    queue.sem.release()",
        "new = Queue(3)\n    new.length = 4\n    new.numbers.append(1)",
        "with queue.lock:\n        item = Item(1)\n        item.next = queue.first\n        queue.first = item",
    ],
)
def test_access_under_the_lock_is_accepted(refused: Proof, body: str) -> None:
    assert refused(f"def use(queue: Queue) -> None:\n    {body}\n") == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("queue.length += 1", 'reads Queue.length without the lock "lock" of queue'),
        ("queue.length = 1", 'writes Queue.length without the lock "lock" of queue'),
        ("with queue.lock:\n        pass\n    queue.length = 1", "writes Queue.length"),
        ("with queue.lock:\n        queue.length = 1\n    return_it(queue)", "reads Queue.length"),
        ("with other.lock:\n        queue.length = 1", 'without the lock "lock" of queue'),
        ("if queue.lock.try_acquire():\n        queue.lock.release()\n    queue.length = 1", "writes Queue.length"),
        ("queue.numbers.append(1)", "Queue.numbers"),
        ("with queue.lock:\n        numbers = queue.numbers\n    numbers.append(1)", "Queue.numbers"),
        ("if 3 in queue.numbers:\n        pass", "looks into Queue.numbers"),
        ("queue.sem.acquire_read()\n    queue.table[1] = 2\n    queue.sem.release()", "changes Queue.table"),
        ("part = queue.table[1:3]\n    part[0] = 1", "Queue.table"),
    ],
)
def test_access_without_the_lock_is_refused(refused: Proof, body: str, said: str) -> None:
    found = refused(f"""def return_it(queue: Queue) -> int:
    return queue.length


def use(queue: Queue, other: Queue) -> None:
    {body}
""")
    assert any(said in f for f in found)


def test_new_object_that_was_stored_is_not_new_any_more(refused: Proof) -> None:
    found = refused("""
class Holder:
    lock: Final[Lock]
    queue: Guarded[Queue | None, "lock"] = None

    def __init__(self) -> None:
        self.lock = Lock()


def use(holder: Holder) -> None:
    queue = Queue(1)
    queue.length = 2
    with holder.lock:
        holder.queue = queue
    queue.length = 3
""")
    assert len(found) == 1 and "writes Queue.length" in found[0]


HELPERS = """
def inner(queue: Queue) -> None:
    queue.length += 1


def outer(queue: Queue) -> None:
    inner(queue)


def good(queue: Queue) -> None:
    with queue.lock:
        outer(queue)
"""


def test_helpers_are_held_to_what_their_callers_hold(refused: Proof) -> None:
    assert refused(HELPERS) == []


def test_error_shows_the_calls_from_where_the_lock_is_missing(refused: Proof) -> None:
    found = refused(HELPERS + "\n\ndef bad(queue: Queue) -> None:\n    outer(queue)\n")
    assert found == [
        'guarded: reads Queue.length without the lock "lock" of queue | bad: calls outer | outer: calls inner | '
        "inner: reads Queue.length"
    ]


def test_requires_is_held_against_callers(refused: Proof) -> None:
    text = """
@requires("queue.lock")
def grow(queue: Queue) -> None:
    queue.length += 1


def good(queue: Queue) -> None:
    with queue.lock:
        grow(queue)
"""
    assert refused(text) == []
    found = refused(text + "\n\ndef bad(queue: Queue) -> None:\n    grow(queue)\n")
    assert len(found) == 1 and 'requires "queue.lock"' in found[0] and "bad: calls grow" in found[0]


def test_lock_given_back_in_between_is_not_held(refused: Proof) -> None:
    found = refused("""
def pause(queue: Queue) -> None:
    queue.lock.release()
    queue.length = 3
    queue.lock.acquire()


def use(queue: Queue) -> None:
    with queue.lock:
        pause(queue)
""")
    assert len(found) == 1 and "writes Queue.length" in found[0]


def test_lock_of_the_module_and_of_the_object_itself(refused: Proof) -> None:
    text = """
class Tree:
    root: Guarded[int, "kaa_test_locks.tree_lock"] = 0


tree = Tree()


class Ring(Lock):
    head: Guarded[int, "self"] = 0


def set_root(value: int) -> None:
    with tree_lock:
        tree.root = value


def advance(ring: Ring) -> None:
    with ring:
        ring.head += 1
"""
    assert refused(text) == []
    found = refused(text.replace("with tree_lock:", "if True:").replace("with ring:", "if True:"))
    assert sorted(f.partition(" without")[0] for f in found) == [
        "guarded: reads Ring.head",
        "guarded: writes Tree.root",
    ]


def test_statement_about_a_lock_that_does_not_exist(refused: Proof) -> None:
    found = refused('class A:\n    n: Guarded[int, "lok"] = 0\n\n\ndef use(a: A) -> int:\n    return a.n\n')
    assert found == ['guarded: Guarded[…, "lok"]: A knows no such lock']


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("with queue.lock:\n        queue.seats.store(1)", ""),
        ("with queue.lock:\n        take_one(queue.seats)", ""),
        ("assert queue.seats.load() < 9", ""),
        ("queue.seats.store(1)", 'changes Seats.seats without the lock "lock" of queue'),
        ("queue.seats.fetch_add(1)", "changes Seats.seats"),
        ("if queue.seats.compare_exchange(1, 2):\n        pass", "changes Seats.seats"),
        ("take_one(queue.seats)", "changes Seats.seats"),
    ],
)
def test_guarded_atomic_is_read_by_anybody_and_changed_under_the_lock(refused: Proof, body: str, said: str) -> None:
    found = refused(f"""
class Seats:
    lock: Final[Lock]
    seats: Guarded[Atomic[u32], "lock"]

    def __init__(self) -> None:
        self.lock = Lock()
        self.seats = Atomic(4)


def take_one(seats: Atomic[u32]) -> None:
    seats.fetch_sub(1)


def use(queue: Seats) -> None:
    {body}
""")
    assert [said in f for f in found] == ([True] if said else [])


RELAXED = """
class Inode:
    lock: Final[Lock]
    mode: Relaxed[u32] = 0
    size: Guarded[Relaxed[u64], "lock"] = 0

    def __init__(self) -> None:
        self.lock = Lock()


inode = Inode()


def use() -> None:
    {}
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("inode.mode = u32(inode.size)", ""),
        ("with inode.lock:\n        inode.size += 1", ""),
        ("new = Inode()\n    new.mode += 1", ""),
        ("mode = inode.mode\n    if mode < 7:\n        inode.mode = 7", ""),
        ("inode.mode += 1", "writes Inode.mode by what it was"),
        ("inode.mode = inode.mode & ~7 | 1", "writes Inode.mode by what it was"),
        ("inode.size = 1", 'writes Inode.size without the lock "lock"'),
    ],
)
def test_relaxed_word_is_read_by_anybody_and_not_changed_by_what_it_was(refused: Proof, body: str, said: str) -> None:
    assert [said in f for f in refused(RELAXED.format(body))] == ([True] if said else [])


ONCE = """
class Inode:
    pass


class Dentry:
    lock: Final[Lock]
    inode: Guarded[Once[Inode | None], "lock"] = None
    other: Once[Inode | None] = None
    hint: Guarded[Relaxed[Unowned[Inode | None]], "lock"] = None

    def __init__(self) -> None:
        self.lock = Lock()


dentry = Dentry()


def use(inode: Inode) -> bool:
    {}
    return dentry.inode is not None and dentry.other is None and dentry.hint is None
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("with dentry.lock:\n        dentry.inode = inode", ""),
        ("dentry.other = inode", ""),
        ("with dentry.lock:\n        dentry.hint = inode", ""),
        ("dentry.inode = inode", 'writes Dentry.inode without the lock "lock"'),
        ("dentry.hint = inode", 'writes Dentry.hint without the lock "lock"'),
    ],
)
def test_what_is_set_once_is_read_by_anybody(refused: Proof, body: str, said: str) -> None:
    text = ONCE.format(body).replace("from kaa.lang import *", "")
    found = refused("from kaa.lang.unsafe import Unowned\n" + text)
    assert [said in f for f in found] == ([True] if said else [])


WORDS = """
@lock
class Ring:
    word: Atomic[u32]
    flags: Guarded[int, "self"] = 0

    def __init__(self) -> None:
        self.word = Atomic(0)

    @acquires("spin")
    @inline
    def acquire(self) -> None:
        self.word.store(1)
        self.flags = 7

    @releases
    def release(self) -> None:
        self.flags = 0
        self.word.store(0)


class Bucket(Ring):
    n: int = 0

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.release()

    def pass_by(self, waiter: Waiter, counts: Counts) -> None:
        self.acquire()
        waiter.place = 3
        counts.n = 2
        self.release()


class Waiter:
    place: Guarded[int, "Ring"] = 0


class Counts:
    n: Guarded[int, "Bucket"] = 0


def use(ring: Ring, bucket: Bucket, waiter: Waiter, counts: Counts) -> None:
    ring.acquire()
    waiter.place = 1
    ring.release()
    bucket.acquire()
    waiter.place = 2
    counts.n = 1
    bucket.release()
    bucket.pass_by(waiter, counts)
"""


def test_a_lock_has_its_own_words_and_its_class_a_name(refused: Proof) -> None:
    assert refused(WORDS) == []
    assert "writes Ring.flags" in refused(WORDS + "    ring.flags = 1\n")[0]
    assert "writes Waiter.place" in refused(WORDS + "    waiter.place = 1\n")[0]
    found = refused(WORDS + "    ring.acquire()\n    counts.n = 2\n    ring.release()\n")
    assert len(found) == 1 and "writes Counts.n" in found[0]


HANDED = """
class Tree:
    root: Guarded[int, "kaa_test_locks.tree_lock"] = 0


class Queue2:
    lock: Final[Lock]
    n: Guarded[int, "Queue2.lock"] = 0

    def __init__(self) -> None:
        self.lock = Lock()


queue2 = Queue2()


def finish() -> None:
    queue2.n = 3
    queue2.lock.release()


def switch() -> None:
    queue2.lock.acquire()
    finish()


@entry_point("thread"{})
def begin() -> None:
    finish()
"""


def test_a_thread_inherits_the_lock_that_its_entry_says(refused: Proof) -> None:
    assert refused(HANDED.format(', holds=("Queue2.lock",)')) == []
    found = refused(HANDED.format(""))
    assert len(found) == 1 and "writes Queue2.n" in found[0] and "begin: calls finish" in found[0]
    after = "    queue2.lock.release()"
    found = refused(HANDED.format(', holds=("Queue2.lock",)').replace(after, after + "\n    queue2.n = 4"))
    assert len(found) == 1 and "writes Queue2.n" in found[0]


MAP = """
@part
class Map:
    size: int = 0
    recent: Relaxed[int] = 0

    def find(self, key: int) -> int:
        self.recent = key
        return self.size


class Space:
    sem: Final[Sem]
    areas: Guarded[Map, "sem"]

    def __init__(self) -> None:
        self.sem = Sem()
        self.areas = Map()


def look(space: Space) -> int:
    space.sem.acquire_read()
    found = space.areas.find(3)
    space.sem.release()
    return found
"""


def test_relaxed_word_of_a_part_is_written_by_readers(refused: Proof) -> None:
    assert refused(MAP) == []
    found = refused(MAP.replace("self.recent = key", "self.size = key"))
    assert len(found) == 1 and "changes Space.areas" in found[0]


# ---- several guards --------------------------------------------------------------------------------------------------

AREAS = """
class Area:
    here: Final[Lock]
    there: Final[Lock]
    start: Guarded[int, "here & there"] = 0

    def __init__(self) -> None:
        self.here = Lock()
        self.there = Lock()


def move(area: Area) -> None:
    area.start = 3


def look(area: Area) -> int:
    return area.start


def both(area: Area) -> int:
    with area.here:
        with area.there:
            move(area)
            return look(area)


"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("with area.here:\n        with area.there:\n            move(area)", []),
        ("with area.here:\n        look(area)", []),
        ("with area.there:\n        look(area)", []),
        ("look(area)", ['reads Area.start without the lock "here" of area, and without the lock "there" of area']),
        ("with area.here:\n        move(area)", ['writes Area.start without the lock "there" of area']),
        ("with area.there:\n        move(area)", ['writes Area.start without the lock "here" of area']),
        ("with other.there:\n        look(area)", ["reads Area.start"]),
    ],
)
def test_two_locks_are_held_to_write_and_one_to_read(refused: Proof, body: str, said: list[str]) -> None:
    found = refused(AREAS + f"def use(area: Area, other: Area) -> None:\n    {body}\n")
    assert [part in one for part, one in zip(said, found, strict=True)] == [True] * len(said)


RUNNING = """class Cpu:
    task: Final[Task]

    def __init__(self) -> None:
        self.task = Task()


cpu = Cpu()


@borrowed
def current() -> Task:
    return cpu.task


"""
TASKS = """
class Task:
    lock: Final[Lock]
    files: Guarded[int, "{}"] = 0

    def __init__(self) -> None:
        self.lock = Lock()


""" + RUNNING + """def files_of(task: Task) -> int:
    return task.files


def give(task: Task, files: int) -> None:
    task.files = files


def own() -> int:
    task = current()
    with task.lock:
        give(task, 2)
    return files_of(task)


"""
REPLACE = "def replace(files: int) -> None:\n    task = current()\n    with task.lock:\n        give(task, files)\n"
FILL = "def fill() -> None:\n    give(current(), 1)\n"
FOREIGN = "def foreign(task: Task) -> int:\n    with task.lock:\n        return files_of(task)\n"
STEAL = "def steal(task: Task) -> None:\n    with task.lock:\n        give(task, 0)\n"
PEEP = "def peep(task: Task) -> int:\n    return files_of(task)\n"
NOT_OWN = "where task is not known to be the running thread's"


@pytest.mark.parametrize(
    ("guard", "text", "said"),
    [
        ("current() & lock", REPLACE + FOREIGN, []),
        ("current() & lock", FILL, ['writes Task.files without the lock "lock" of task']),
        ("current() & lock", STEAL, ["writes Task.files " + NOT_OWN]),
        ("current() & lock", PEEP, ["reads Task.files " + NOT_OWN + ', and without the lock "lock" of task']),
        ("lock | current()", REPLACE + FOREIGN + FILL + STEAL, []),
        ("lock | current()", PEEP, ["reads Task.files"]),
    ],
)
def test_owner_and_a_lock(refused: Proof, guard: str, text: str, said: list[str]) -> None:
    found = refused(TASKS.format(guard) + text)
    assert [part in one for part, one in zip(said, found, strict=True)] == [True] * len(said)


def test_guards_that_make_no_sense(refused: Proof) -> None:
    found = refused(TASKS.format("current() & lock | lock") + PEEP)
    assert found and "knows no such lock" in found[0]


# ---- Final, Owned, PerCpu, Rcu ---------------------------------------------------------------------------------------


def test_final_is_not_written_after_its_object_is_known(refused: Proof) -> None:
    text = """
class Size:
    width: Final[int]

    def __init__(self) -> None:
        self.set(1)

    def set(self, width: int) -> None:
        self.width = width
"""
    assert refused(text + "\n\ndef use() -> int:\n    return Size().width\n") == []
    found = refused(text + "\n\ndef use(size: Size) -> None:\n    size.set(2)\n")
    assert found == [
        "final: writes Size.width which is Final, after it was made | use: calls Size.set | Size.set: writes Size.width"
    ]


def test_owned_is_the_running_threads(refused: Proof) -> None:
    text = """
class Task:
    depth: Owned[int] = 0
    other: Guarded[Task | None, "tree.lock"] = None


""" + RUNNING + """def deepen(task: Task) -> None:
    task.depth += 1


def good() -> None:
    deepen(current())
    task = current()
    task.depth = 0
"""
    assert refused(text) == []
    found = refused(text + "\n\ndef bad(task: Task) -> None:\n    deepen(task)\n")
    assert (
        len(found) == 1 and "reads Task.depth which is Owned, of task" in found[0] and "bad: calls deepen" in found[0]
    )


def test_percpu_needs_preemption_off(refused: Proof) -> None:
    text = """
class Counter:
    lock: Final[Lock]
    hits: PerCpu[int] = 0

    def __init__(self) -> None:
        self.lock = Lock()


def hit(counter: Counter) -> None:
    counter.hits += 1


def good(counter: Counter) -> None:
    hold_still()
    hit(counter)
    go_on()
    with counter.lock:
        hit(counter)
"""
    assert refused(text) == []
    found = refused(text + "\n\ndef bad(counter: Counter) -> None:\n    hold_still()\n    go_on()\n    hit(counter)\n")
    assert len(found) == 1 and "which is PerCpu, with preemption on | bad: calls hit" in found[0]


def test_rcu_is_read_by_readers_and_written_under_a_lock(refused: Proof) -> None:
    text = """
class Best(RcuHead):
    value: Final[int]

    def __init__(self, value: int) -> None:
        super().__init__()
        self.value = value


class Table:
    lock: Final[Lock]
    best: Rcu[Best | None] = None

    def __init__(self) -> None:
        self.lock = Lock()


def read(table: Table) -> int:
    begin_read()
    best = table.best
    value = best.value if best is not None else 0
    end_read()
    return value


def write(table: Table, item: Best) -> None:
    with table.lock:
        table.best = item
"""
    assert refused(text) == []
    found = refused(
        text
        + "\n\ndef bad(table: Table, item: Best) -> None:\n    table.best = item\n"
        + "\n\ndef worse(table: Table) -> bool:\n    return table.best is None\n"
    )
    assert len(found) == 2 and all(f.startswith("rcu: ") for f in found)


# ---- fields that say nothing -----------------------------------------------------------------------------------------

SILENT = """
class Counters:
    limit: int
    hits: {}

    def __init__(self) -> None:
        self.limit = 5
        self.hits = {}


class Scratch:
    depth: int = 0


counters = Counters()


def use(scratch: Scratch) -> int:
    scratch.depth += 1
    return counters.limit{}
"""


def test_field_that_says_nothing_must_not_change_if_others_reach_it(refused: Proof) -> None:
    assert refused(SILENT.format("int", "0", "")) == []
    found = refused(SILENT.format("int", "0", "\n\n\ndef hit() -> None:\n    counters.hits += 1\n"))
    assert found == [
        "statement: several processors can reach Counters.hits, and nothing says what protects it when it is written | "
        "hit: writes Counters.hits"
    ]
    assert (
        refused(SILENT.format("Atomic[u32]", "Atomic(0)", "\n\n\ndef hit() -> None:\n    counters.hits.fetch_add(1)\n"))
        == []
    )


def test_final_says_nothing_about_what_is_in_a_list(refused: Proof) -> None:
    found = refused(SILENT.format("Final[list[int]]", "[]", "\n\n\ndef hit() -> None:\n    counters.hits.append(1)\n"))
    assert len(found) == 1 and "changed: Final says that it stays, not what is in it" in found[0]


def test_a_class_may_say_it_for_all_its_fields(refused: Proof) -> None:
    text = """
@part
class Ring:
    head: int = 0

    def advance(self) -> None:
        self.head += 1


@guarded("lock")
class Pipe:
    lock: Final[Lock]
    ring: Ring
    readers: int
    writers: Atomic[u32]

    def __init__(self) -> None:
        self.lock = Lock()
        self.ring = Ring()
        self.readers = 0
        self.writers = Atomic(0)


pipe = Pipe()


def good() -> None:
    with pipe.lock:
        pipe.ring.advance()
        pipe.readers += 1
    pipe.writers.store(1)
"""
    assert refused(text) == []
    found = refused(text + "\n\ndef bad() -> None:\n    pipe.ring.advance()\n    pipe.readers = 1\n")
    assert any("changes Pipe.ring" in f for f in found)


# ---- a historical bug ------------------------------------------------------------------------------------------------


def test_buffer_that_two_writers_put_back(refused: Proof) -> None:
    """After CVE-2017-2636 (a serial line discipline): a buffer that could not be sent is kept in one field, without the
    lock of the lists; a flush on another processor and the sender both find it there, and both put it on the list of
    free ones: freed twice."""
    text = """
class Line:
    lock: Final[Lock]
    free: Guarded[list[Item], "lock"]
    unsent: Guarded[Item | None, "lock"]

    def __init__(self) -> None:
        self.lock = Lock()
        self.free = []
        self.unsent = None

    def put_back(self, item: Item) -> None:
        with self.lock:
            self.free.append(item)

    def flush(self) -> None:
        item = self.unsent
        if item is not None:
            self.unsent = None
            self.put_back(item)


line = Line()


def ioctl() -> None:
    line.flush()
"""
    found = refused(text)
    assert len(found) == 1
    assert 'reads Line.unsent without the lock "lock" of self | ioctl: calls Line.flush' in found[0]
    mended = text.replace("""        item = self.unsent
        if item is not None:
            self.unsent = None
            self.put_back(item)""", """        with self.lock:
            item = self.unsent
            self.unsent = None
        if item is not None:
            self.put_back(item)""")  # fmt: skip
    assert refused(mended) == []
