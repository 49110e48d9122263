# SPDX-License-Identifier: Apache-2.0
"""Objects that are *retired*: references to them are given up after a grace period (rcu.py).

They wait in lists, one for each processor (retired.py), linked through themselves (lang/rcu.py): retiring needs no
memory and no lock, and may happen in interrupt handlers and under any lock but a run queue's. An object whose end may
sleep (lang.LateEnd) is retired as a whole when its last reference goes where nobody may sleep.
"""

from __future__ import annotations

from collections.abc import Callable

from kaa.kernel.arch import machine
from kaa.lang import Atomic, RcuHead, cold, export, u32, u64
from kaa.lang.unsafe import address_of, adopt, class_at, retain


class Asking:
    """Processors where something was retired that have no thread to end it."""

    threads_wanted: Atomic[u64]

    def __init__(self) -> None:
        self.threads_wanted = Atomic(0)


asking = Asking()


def call(head: RcuHead, function: Callable[[RcuHead], None]) -> None:
    """function(head) after a grace period, in the thread `rcu`. The object is kept until then. Needs no memory; one
    call at a time for one object."""
    assert head.rcu_function is None, "retiring.call of an object that waits already"
    head.rcu_function = function
    retain(head)
    _retire(head)


@export("kaa_retire")
def retire(object_address: u64) -> None:
    """Give one reference up after a grace period. What assignments to Rcu fields do with the old object."""
    _retire(class_at(RcuHead, object_address))


def _retire(head: RcuHead) -> None:
    if head.rcu_retired.fetch_add(1) == 0:
        _push(head)


def _push(head: RcuHead) -> None:
    """Into this processor's list. The list may be taken at any time, and is only added to otherwise: the exchange
    cannot mistake one list for another."""
    retired = machine.percpu.here().retired
    address = address_of(head)
    while True:
        before = retired.newest.load_relaxed()
        head.rcu_next = before
        if retired.newest.compare_exchange(before, address):
            break
    if not retired.has_thread.load_relaxed():
        _ask_for_thread()
    elif before == 0:
        retired.work.wake_one()


@cold
def _ask_for_thread() -> None:
    """Whoever runs starts this processor's thread before it returns to user mode, a kernel thread when it ends: where
    they are by then does not matter."""
    from kaa.kernel.process.task import WORK_RETIRED

    asking.threads_wanted.fetch_or(u64(1) << machine.percpu.cpu_id())
    machine.percpu.current().work.fetch_or(WORK_RETIRED)


@export("kaa_end_later")
def end_later(object_address: u64) -> bool:
    """What the end of a LateEnd object does first: True if it is put off, where sleeping is not allowed. The object has
    a reference again until its grace period is over; if the last one goes in such a place once more, it waits once
    more. Not under a run queue's lock, as all that retires."""
    if machine.percpu.preempt_count() == 0 and machine.irq.enabled():
        return False
    head = class_at(RcuHead, object_address)
    retain(head)
    _retire(head)
    return True


def mark(first: u64) -> None:
    """The references that were retired until now are due after the next grace period; later ones are not."""
    address = first
    while address != 0:
        head = class_at(RcuHead, address)
        head.rcu_due = head.rcu_retired.load()
        address = head.rcu_next


def finish_all(first: u64) -> None:
    """A grace period is over for what was marked."""
    address = first
    while address != 0:
        following = class_at(RcuHead, address).rcu_next
        _finish(address)
        address = following


def _finish(address: u64) -> None:
    """Call, and give up what was due; what was retired meanwhile waits again."""
    head = class_at(RcuHead, address)
    function = head.rcu_function
    if function is not None:
        head.rcu_function = None
        function(head)
    due = head.rcu_due
    if head.rcu_retired.fetch_sub(due) != due:
        _push(head)
    _give_up(address, due)


def _give_up(address: u64, count: u32) -> None:
    """Release references. The object may be gone after the last."""
    for _ in range(count):
        adopt(RcuHead, address)
